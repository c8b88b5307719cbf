//! `models/services.list`: the pin, the services and their operations.

use super::Outcome;

/// The list.
pub(super) struct List {
    /// The pinned version of botocore.
    pub(super) botocore: String,
    pub(super) services: Vec<Service>,
}

/// A service that we implement.
pub(super) struct Service {
    /// botocore's name, and but for its dashes that of our module.
    pub(super) name: String,
    /// Its names in a credential scope.
    pub(super) signing: Vec<String>,
    /// The prefix of its IAM actions.
    pub(super) iam: String,
    pub(super) operations: Vec<String>,
}

impl Service {
    /// The name of our module.
    pub(super) fn module(&self) -> String {
        self.name.replace('-', "_")
    }
}

/// Reads the list: `botocore VERSION`, then for each service `[name] signing=a,b iam=c` and an operation a line.
pub(super) fn parse(text: &str) -> Outcome<List> {
    let mut list = List { botocore: String::new(), services: Vec::new() };
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let fail = || format!("models/services.list: cannot read {line:?}");
        if let Some(version) = line.strip_prefix("botocore ") {
            version.clone_into(&mut list.botocore);
        } else if let Some(rest) = line.strip_prefix('[') {
            let (name, rest) = rest.split_once(']').ok_or_else(fail)?;
            let mut service = Service {
                name: name.to_owned(),
                signing: vec![name.to_owned()],
                iam: name.to_owned(),
                operations: vec![],
            };
            for word in rest.split_whitespace() {
                match word.split_once('=').ok_or_else(fail)? {
                    ("signing", names) => service.signing = names.split(',').map(str::to_owned).collect(),
                    ("iam", prefix) => prefix.clone_into(&mut service.iam),
                    _ => return Err(fail()),
                }
            }
            list.services.push(service);
        } else {
            list.services.last_mut().ok_or_else(fail)?.operations.push(line.to_owned());
        }
    }
    if list.botocore.is_empty() {
        return Err("models/services.list names no botocore version".to_owned());
    }
    Ok(list)
}
