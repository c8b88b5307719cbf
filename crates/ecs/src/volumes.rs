//! Where the volumes of a task definition are on this machine, and what of them a container sees. Pure.
//!
//! A file system of Amazon EFS is a directory of the account's in the region, which is there from its first use on; a
//! Docker volume that is shared, and what an instance's disk has, are directories that outlive tasks too. None of them is
//! a path of the machine's own.

use crate::rows::DefinitionRow;
use model::ecs::{ContainerDefinition, Volume};
use runtime::{KeptVolume, Mount, MountSource};
use std::collections::{BTreeMap, BTreeSet};
use types::Scope;

/// The stores of volumes, whose names begin with these.
pub(crate) const EFS: &str = "efs";
const DOCKER: &str = "volumes";
const INSTANCES: &str = "instances";

/// The volumes that the image of each container declares.
pub(crate) type Declared = BTreeMap<String, Vec<String>>;

/// What is mounted in a container: its mount points, what it takes from other containers, and what its image declares.
pub(crate) fn mounts(
    scope: &Scope,
    definition: &DefinitionRow,
    declared: &Declared,
    container: &ContainerDefinition,
) -> Vec<Mount> {
    let mut mounts = points(scope, definition, container);
    let mut more = Vec::new();
    for from in container.volumes_from.iter().flatten() {
        let found = definition.containers().iter().find(|other| other.name == from.source_container);
        let Some(other) = found else { continue };
        let read_only = from.read_only == Some(true);
        let theirs = points(scope, definition, other).into_iter().chain(declared_of(declared, other));
        more.extend(theirs.map(|mount| Mount { read_only: read_only || mount.read_only, ..mount }));
    }
    more.extend(declared_of(declared, container));
    // What the container says itself comes before what it takes over, and that before what its image says.
    let mut taken: BTreeSet<String> = mounts.iter().map(|mount| place(&mount.target)).collect();
    for mount in more {
        if taken.insert(place(&mount.target)) {
            mounts.push(mount);
        }
    }
    mounts
}

/// A path without what does not matter in it.
fn place(path: &str) -> String {
    path.split('/').filter(|part| !part.is_empty() && *part != ".").collect::<Vec<_>>().join("/")
}

fn points(scope: &Scope, definition: &DefinitionRow, container: &ContainerDefinition) -> Vec<Mount> {
    let volumes = definition.shape.volumes.as_deref().unwrap_or_default();
    let points = container.mount_points.iter().flatten().filter_map(|point| {
        let (name, target) = (point.source_volume.as_ref()?, point.container_path.clone()?);
        let volume = volumes.iter().find(|volume| volume.name.as_ref() == Some(name));
        let source = volume.map_or_else(|| MountSource::TaskVolume(name.clone()), |volume| source(scope, volume));
        Some(Mount { source, target, read_only: point.read_only == Some(true) })
    });
    points.collect()
}

fn declared_of(declared: &Declared, container: &ContainerDefinition) -> Vec<Mount> {
    let name = container.name.clone().unwrap_or_default();
    let paths = declared.get(&name).into_iter().flatten().enumerate();
    let absolute = paths.filter(|(_, path)| path.starts_with('/') && !place(path).is_empty());
    absolute
        .map(|(number, path)| Mount {
            source: MountSource::ImageVolume(name.clone(), number),
            target: path.clone(),
            read_only: false,
        })
        .collect()
}

fn source(scope: &Scope, volume: &Volume) -> MountSource {
    let name = volume.name.clone().unwrap_or_default();
    let kept = |store: &str, path: String, create| {
        let store = format!("{store}/{}/{}", scope.account, scope.region);
        MountSource::Kept(KeptVolume { store, path, create })
    };
    if let Some(efs) = &volume.efs_volume_configuration {
        let root = efs.root_directory.clone().unwrap_or_else(|| "/".to_owned());
        let store = format!("{EFS}/{}/{}/{}", scope.account, scope.region, efs.file_system_id);
        return MountSource::Kept(KeptVolume { store, path: root, create: false });
    }
    if let Some(docker) = volume.docker_volume_configuration.as_ref().filter(|it| it.scope.as_deref() == Some("shared"))
    {
        return kept(DOCKER, name, docker.autoprovision == Some(true));
    }
    match volume.host.as_ref().and_then(|host| host.source_path.clone()).filter(|path| !path.is_empty()) {
        Some(path) => kept(INSTANCES, path, true),
        None => MountSource::TaskVolume(name),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::Stored;
    use model::ecs as shape;

    fn definition(volumes: Vec<Volume>, containers: Vec<ContainerDefinition>) -> DefinitionRow {
        let shape = shape::TaskDefinition {
            volumes: Some(volumes),
            container_definitions: Some(containers),
            ..shape::TaskDefinition::default()
        };
        DefinitionRow {
            family: "f".to_owned(),
            revision: 1,
            active: true,
            delete_requested_at: None,
            shape: Stored(shape),
            tags: vec![],
        }
    }

    fn named(name: &str) -> Volume {
        Volume { name: Some(name.to_owned()), ..Volume::default() }
    }

    fn container(name: &str, points: &[(&str, &str, bool)], from: &[(&str, bool)]) -> ContainerDefinition {
        let point = |(volume, path, read_only): &(&str, &str, bool)| shape::MountPoint {
            source_volume: Some((*volume).to_owned()),
            container_path: Some((*path).to_owned()),
            read_only: Some(*read_only),
        };
        let from_of = |(other, read_only): &(&str, bool)| shape::VolumeFrom {
            source_container: Some((*other).to_owned()),
            read_only: Some(*read_only),
        };
        ContainerDefinition {
            name: Some(name.to_owned()),
            mount_points: Some(points.iter().map(point).collect()),
            volumes_from: Some(from.iter().map(from_of).collect()),
            ..ContainerDefinition::default()
        }
    }

    fn brief(mounts: &[Mount]) -> Vec<String> {
        let source = |mount: &Mount| match &mount.source {
            MountSource::TaskVolume(name) => name.clone(),
            MountSource::ImageVolume(name, number) => format!("{name}#{number}"),
            MountSource::Kept(kept) => {
                format!("{}:{}{}", kept.store, kept.path, if kept.create { " made" } else { "" })
            }
            MountSource::HostPath(path) => path.display().to_string(),
        };
        let of = |m: &Mount| format!("{} at {}{}", source(m), m.target, if m.read_only { " read-only" } else { "" });
        mounts.iter().map(of).collect()
    }

    #[test]
    fn volumes_are_where_their_kind_says() {
        let efs = Volume {
            efs_volume_configuration: Some(shape::EFSVolumeConfiguration {
                file_system_id: "fs-0123".to_owned(),
                root_directory: Some("/app".to_owned()),
                ..shape::EFSVolumeConfiguration::default()
            }),
            ..named("efs")
        };
        let docker = |scope: &str, autoprovision| {
            Some(shape::DockerVolumeConfiguration {
                scope: Some(scope.to_owned()),
                autoprovision: Some(autoprovision),
                ..shape::DockerVolumeConfiguration::default()
            })
        };
        let shared = Volume { docker_volume_configuration: docker("shared", true), ..named("shared") };
        let own = Volume { docker_volume_configuration: docker("task", false), ..named("own") };
        let host = |path: &str| Some(shape::HostVolumeProperties { source_path: Some(path.to_owned()) });
        let disk = Volume { host: host("/var/log"), ..named("disk") };
        let plain = Volume { host: host(""), ..named("plain") };
        let points: Vec<_> = ["efs", "shared", "own", "disk", "plain"].map(|name| (name, "/x", false)).into();
        let definition = definition(vec![efs, shared, own, disk, plain], vec![]);
        let found = points_of(&definition, &container("app", &points, &[]));
        assert_eq!(
            found,
            [
                "efs/123456789012/us-east-1/fs-0123:/app at /x",
                "volumes/123456789012/us-east-1:shared made at /x",
                "own at /x",
                "instances/123456789012/us-east-1:/var/log made at /x",
                "plain at /x",
            ]
        );
    }

    fn points_of(definition: &DefinitionRow, container: &ContainerDefinition) -> Vec<String> {
        brief(&points(&Scope::default(), definition, container))
    }

    #[test]
    fn a_container_has_its_own_then_what_it_takes_over_then_what_its_image_declares() {
        let base = container("base", &[("data", "/data", false), ("conf", "/conf", true)], &[]);
        let app = container("app", &[("mine", "/data/", false)], &[("base", false)]);
        let reader = container("reader", &[], &[("base", true)]);
        let definition = definition(
            vec![named("data"), named("conf"), named("mine")],
            vec![base.clone(), app.clone(), reader.clone()],
        );
        let declared = Declared::from([
            ("base".to_owned(), vec!["/cache".to_owned()]),
            ("app".to_owned(), vec!["/conf/.".to_owned(), "/own".to_owned(), "odd".to_owned(), "/".to_owned()]),
        ]);
        let of = |container| brief(&mounts(&Scope::default(), &definition, &declared, container));
        assert_eq!(of(&base), ["data at /data", "conf at /conf read-only", "base#0 at /cache"]);
        assert_eq!(of(&app), ["mine at /data/", "conf at /conf read-only", "base#0 at /cache", "app#1 at /own"]);
        assert_eq!(of(&reader), ["data at /data read-only", "conf at /conf read-only", "base#0 at /cache read-only"]);
    }
}
