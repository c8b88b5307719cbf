//! The parameters that AWS itself keeps for everybody to read: those that name the ECS-optimized images.
//! Source: Systems Manager user guide, "Discovering public parameters in Parameter Store".

use super::parameter_filter::lies_under;
use types::Scope;
use vpc::images;

/// What all of their names begin with.
const BEGINNING: &str = "/aws/service/";

/// When they were written last.
const MODIFIED: types::Timestamp = types::Timestamp(1_768_510_869_000);

/// The public parameter of that name or ARN.
pub(super) fn find(scope: &Scope, name: &str) -> Option<model::ssm::Parameter> {
    let name = name.strip_prefix(&format!("arn:aws:ssm:{}::parameter", scope.region)).unwrap_or(name);
    if !name.starts_with(BEGINNING) {
        return None;
    }
    images::parameters(&scope.region).into_iter().find(|row| row.name == name).map(|row| shown(scope, row))
}

/// Those beneath a path, in order of their names.
pub(super) fn under(scope: &Scope, path: &str, recursive: bool) -> Vec<model::ssm::Parameter> {
    if !path.starts_with(BEGINNING.trim_end_matches('/')) {
        return Vec::new();
    }
    let all = images::parameters(&scope.region).into_iter();
    all.filter(|row| lies_under(&row.name, path, recursive)).map(|row| shown(scope, row)).collect()
}

fn shown(scope: &Scope, row: images::Parameter) -> model::ssm::Parameter {
    let is_image = row.name.ends_with("/image_id");
    model::ssm::Parameter {
        arn: Some(format!("arn:aws:ssm:{}::parameter{}", scope.region, row.name)),
        name: Some(row.name),
        type_: Some("String".to_owned()),
        value: Some(row.value),
        version: Some(1),
        last_modified_date: Some(MODIFIED),
        data_type: Some(if is_image { "aws:ec2:image" } else { "text" }.to_owned()),
        ..Default::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn they_are_found_by_name_by_arn_and_by_path() {
        let scope = Scope::default();
        let name = images::parameters(&scope.region)[0].name.clone();
        let found = find(&scope, &name).unwrap();
        assert_eq!(found.name.as_ref(), Some(&name));
        assert_eq!(find(&scope, found.arn.as_ref().unwrap()), Some(found));
        assert_eq!(find(&scope, "/aws/service/nothing"), None);
        assert!(under(&scope, "/aws/service/ecs/optimized-ami", true).len() > 8);
        assert!(under(&scope, "/mine", true).is_empty());
    }
}
