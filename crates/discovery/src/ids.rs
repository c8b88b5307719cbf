//! Ids and ARNs in Cloud Map's forms.

use types::Scope;
use types::arn::Arn;

const LETTERS: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";

/// `n` random characters of a base32 alphabet.
fn random(n: usize) -> String {
    let mut bytes = vec![0u8; n];
    getrandom::fill(&mut bytes).expect("the kernel gives random bytes");
    bytes.into_iter().map(|byte| char::from(LETTERS[usize::from(byte % 32)])).collect()
}

/// `ns-…`.
pub(crate) fn namespace() -> String {
    format!("ns-{}", random(16))
}

/// `srv-…`.
pub(crate) fn service() -> String {
    format!("srv-{}", random(16))
}

/// Two words with a dash between them.
pub(crate) fn operation() -> String {
    format!("{}-{}", random(32), random(8))
}

/// A hosted zone's, in Route 53's form.
pub(crate) fn hosted_zone() -> String {
    format!("Z{}", random(20).to_ascii_uppercase())
}

/// `arn:aws:servicediscovery:…:namespace/<id>`.
pub(crate) fn namespace_arn(scope: &Scope, id: &str) -> String {
    Arn::new("servicediscovery", scope, format!("namespace/{id}")).to_string()
}

/// `arn:aws:servicediscovery:…:service/<id>`.
pub(crate) fn service_arn(scope: &Scope, id: &str) -> String {
    Arn::new("servicediscovery", scope, format!("service/{id}")).to_string()
}

/// The id that a reference means, which is one or is an ARN of `kind` in `scope`. None if it is an ARN of something else.
pub(crate) fn of<'r>(scope: &Scope, kind: &str, reference: &'r str) -> Option<&'r str> {
    if !reference.starts_with("arn:") {
        return Some(reference);
    }
    let arn: Arn = reference.parse().ok()?;
    let home = arn.service == "servicediscovery"
        && arn.region == scope.region.as_str()
        && arn.account == scope.account.as_str()
        && arn.resource.split_once('/').is_some_and(|(found, _)| found == kind);
    home.then(|| reference.rsplit('/').next()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reference_is_an_id_or_an_arn_of_its_kind() {
        let scope = Scope::default();
        let id = service();
        assert_eq!(of(&scope, "service", &id), Some(id.as_str()));
        assert_eq!(of(&scope, "service", &service_arn(&scope, &id)), Some(id.as_str()));
        assert_eq!(of(&scope, "namespace", &service_arn(&scope, &id)), None);
        assert_eq!(of(&scope, "service", "arn:x"), None);
        assert_eq!(hosted_zone().len(), 21);
    }
}
