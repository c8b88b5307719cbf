//! What RegisterTaskDefinition says of volumes and of who mounts them.

use crate::{names, texts};
use model::ecs::{ContainerDefinition, EFSVolumeConfiguration, RegisterTaskDefinitionRequest, Volume};
use std::collections::BTreeSet;
use types::ApiError;

/// Checks the volumes and fills in their defaults.
pub(super) fn check(input: &mut RegisterTaskDefinitionRequest) -> Result<(), ApiError> {
    let mut seen = BTreeSet::new();
    for volume in input.volumes.iter_mut().flatten() {
        let name = volume.name.as_ref().filter(|name| !name.trim().is_empty());
        let Some(name) = name else { return Err(texts::client(texts::blank("Volume name"))) };
        if !names::is_plain(name) {
            return Err(texts::client(texts::VOLUME_NAME_INVALID));
        }
        if !seen.insert(name.clone()) {
            return Err(texts::client(texts::volume_twice(name)));
        }
        if kinds(volume) > 1 {
            return Err(texts::client(texts::ONE_VOLUME_TYPE));
        }
        if let Some(efs) = &mut volume.efs_volume_configuration {
            check_efs(efs)?;
        }
    }
    let containers = &input.container_definitions;
    containers.iter().try_for_each(|container| check_mounts(container, containers, &seen))
}

/// How many kinds of volume it is to be at once.
fn kinds(volume: &Volume) -> usize {
    let host = volume.host.as_ref().and_then(|host| host.source_path.as_ref());
    let given = [
        host.is_some_and(|path| !path.is_empty()),
        volume.docker_volume_configuration.is_some(),
        volume.efs_volume_configuration.is_some(),
        volume.fsx_windows_file_server_volume_configuration.is_some(),
        volume.s3files_volume_configuration.is_some(),
        volume.configured_at_launch == Some(true),
    ];
    given.into_iter().filter(|given| *given).count()
}

fn check_efs(efs: &mut EFSVolumeConfiguration) -> Result<(), ApiError> {
    let hex = efs.file_system_id.strip_prefix("fs-");
    if !hex.is_some_and(|hex| !hex.is_empty() && hex.len() <= 40 && hex.bytes().all(|b| b.is_ascii_hexdigit())) {
        return Err(texts::client(texts::efs_id_invalid(&efs.file_system_id)));
    }
    let root = efs.root_directory.get_or_insert_with(|| "/".to_owned()).clone();
    let authorization = efs.authorization_config.as_ref();
    let point = authorization.is_some_and(|it| it.access_point_id.as_ref().is_some_and(|id| !id.is_empty()));
    if point && root != "/" {
        return Err(texts::client(texts::EFS_ROOT_AND_ACCESS_POINT));
    }
    let iam = authorization.is_some_and(|it| it.iam.as_deref() == Some("ENABLED"));
    if (point || iam) && efs.transit_encryption.as_deref() != Some("ENABLED") {
        return Err(texts::client(texts::EFS_NEEDS_ENCRYPTION));
    }
    Ok(())
}

fn check_mounts(
    container: &ContainerDefinition,
    all: &[ContainerDefinition],
    volumes: &BTreeSet<String>,
) -> Result<(), ApiError> {
    for point in container.mount_points.iter().flatten() {
        let volume = point.source_volume.as_deref();
        if !volume.is_some_and(|volume| volumes.contains(volume)) {
            return Err(texts::client(texts::volume_unknown(volume)));
        }
        if point.container_path.as_ref().is_none_or(|path| path.trim().is_empty()) {
            return Err(texts::client(texts::blank("Mount point containerPath")));
        }
    }
    for from in container.volumes_from.iter().flatten() {
        let other = from.source_container.clone().unwrap_or_default();
        let known = all.iter().any(|one| one.name.as_ref() == Some(&other)) && container.name.as_ref() != Some(&other);
        if !known {
            return Err(texts::client(texts::volumes_from_missing(&other)));
        }
    }
    Ok(())
}
