//! The machine images that are here: Amazon's ECS-optimised ones, for this machine's processor. Nothing boots from them;
//! they say what an instance is to run, and that is the ECS agent. Pure facts, with the parameters of Systems Manager's
//! that name them. Source: ECS developer guide, "Retrieving Amazon ECS-optimized Linux AMI metadata".

use crate::instance_types::Architecture;
use crate::names;
use serde_json::json;
use types::Region;

/// Whose images they are.
pub const OWNER: &str = "591542846629";

pub(crate) const AGENT: &str = "1.102.1";
const RELEASE: &str = "20260115";

/// An image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Image {
    /// Its id, another one in each region.
    pub id: String,
    /// Its name.
    pub name: String,
    /// What it is.
    pub description: String,
    /// When it was made.
    pub created: &'static str,
    /// Its processor's architecture.
    pub architecture: Architecture,
    /// The operating system's name.
    pub os: &'static str,
    /// The path of its parameters.
    parameters: &'static str,
}

/// The images of a region that this machine can stand for.
pub fn all(region: &Region) -> Vec<Image> {
    let architecture = Architecture::here();
    let word = architecture.as_str();
    let (al2023, al2) = match architecture {
        Architecture::X86 => ("amazon-linux-2023", "amazon-linux-2"),
        Architecture::Arm => ("amazon-linux-2023/arm64", "amazon-linux-2/arm64"),
    };
    let image = |name: String, description: String, os, parameters| Image {
        id: format!("ami-0{:016x}", names::hash(&format!("{region}/{name}"))),
        name,
        description,
        created: "2026-01-15T20:41:09.000Z",
        architecture,
        os,
        parameters,
    };
    vec![
        image(
            format!("al2023-ami-ecs-hvm-2023.0.{RELEASE}-kernel-6.1-{word}"),
            format!("Amazon Linux AMI 2023.0.{RELEASE} {word} ECS HVM EBS"),
            "Amazon Linux 2023",
            al2023,
        ),
        image(
            format!("amzn2-ami-ecs-hvm-2.0.{RELEASE}-{word}-ebs"),
            format!("Amazon Linux AMI 2.0.{RELEASE} {word} ECS HVM GP2"),
            "Amazon Linux 2",
            al2,
        ),
    ]
}

/// The image of that id.
pub fn find(region: &Region, id: &str) -> Option<Image> {
    all(region).into_iter().find(|image| image.id == id)
}

/// A public parameter: its name and value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parameter {
    /// `/aws/service/ecs/optimized-ami/…`.
    pub name: String,
    /// What it says.
    pub value: String,
}

/// The public parameters that name the images, in order of their names.
pub fn parameters(region: &Region) -> Vec<Parameter> {
    let mut found: Vec<Parameter> = all(region).iter().flat_map(parameters_of).collect();
    found.sort_by(|a, b| a.name.cmp(&b.name));
    found
}

fn parameters_of(image: &Image) -> Vec<Parameter> {
    let path = format!("/aws/service/ecs/optimized-ami/{}/recommended", image.parameters);
    let runtime = "Docker version 25.0.14";
    let whole = json!({
        "schema_version": 1,
        "image_name": image.name,
        "image_id": image.id,
        "os": image.os,
        "ecs_runtime_version": runtime,
        "ecs_agent_version": AGENT,
    });
    let parts = [
        ("ecs_agent_version", AGENT),
        ("ecs_runtime_version", runtime),
        ("image_id", &image.id),
        ("image_name", &image.name),
        ("image_version", RELEASE),
        ("os", image.os),
        ("schema_version", "1"),
    ];
    let parts =
        parts.into_iter().map(|(part, value)| Parameter { name: format!("{path}/{part}"), value: value.to_owned() });
    [Parameter { name: path.clone(), value: whole.to_string() }].into_iter().chain(parts).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_those_of_a_region_and_stay() {
        let (home, away) = (Region::default(), "eu-west-1".parse().unwrap());
        let (here, there) = (all(&home), all(&away));
        assert_eq!(here, all(&home));
        assert_ne!(here[0].id, there[0].id);
        assert!(here.iter().all(|image| types::id::ImageId::parse(&image.id).is_some()));
        assert!(find(&home, &there[0].id).is_none());
    }

    #[test]
    fn the_recommended_image_is_one_that_is_here() {
        let region = Region::default();
        let found = parameters(&region);
        let path = format!("/aws/service/ecs/optimized-ami/{}/recommended", all(&region)[0].parameters);
        let value = |name: &str| found.iter().find(|row| row.name == name).map(|row| row.value.clone()).unwrap();
        let whole: serde_json::Value = serde_json::from_str(&value(&path)).unwrap();
        assert_eq!(whole["image_id"], value(&format!("{path}/image_id")));
        assert!(find(&region, whole["image_id"].as_str().unwrap()).is_some());
    }
}
