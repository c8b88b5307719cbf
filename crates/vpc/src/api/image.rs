//! The machine images that instances can be launched from.

use super::describe::{self, one};
use super::{Ec2, begin};
use crate::images::{self, Image};
use crate::texts;
use gateway::Context;
use model::ec2;
use types::ApiError;
use types::id::ImageId;

fn show(image: &Image) -> ec2::Image {
    ec2::Image {
        image_id: Some(image.id.clone()),
        name: Some(image.name.clone()),
        description: Some(image.description.clone()),
        image_location: Some(format!("amazon/{}", image.name)),
        image_owner_alias: Some("amazon".to_owned()),
        owner_id: Some(images::OWNER.to_owned()),
        creation_date: Some(image.created.to_owned()),
        public: Some(true),
        architecture: Some(image.architecture.as_str().to_owned()),
        image_type: Some("machine".to_owned()),
        state: Some("available".to_owned()),
        hypervisor: Some("xen".to_owned()),
        virtualization_type: Some("hvm".to_owned()),
        ena_support: Some(true),
        root_device_name: Some("/dev/xvda".to_owned()),
        root_device_type: Some("ebs".to_owned()),
        platform_details: Some("Linux/UNIX".to_owned()),
        usage_operation: Some("RunInstances".to_owned()),
        imds_support: (image.os == "Amazon Linux 2023").then(|| "v2.0".to_owned()),
        block_device_mappings: Some(Vec::new()),
        ..Default::default()
    }
}

fn filter(image: &Image, name: &str) -> Option<Vec<String>> {
    Some(match name {
        "architecture" => one(image.architecture.as_str()),
        "creation-date" => one(image.created),
        "description" => one(&image.description),
        "ena-support" | "is-public" => one(true),
        "hypervisor" => one("xen"),
        "image-id" => one(&image.id),
        "image-type" => one("machine"),
        "name" => one(&image.name),
        "owner-alias" => one("amazon"),
        "owner-id" => one(images::OWNER),
        "root-device-name" => one("/dev/xvda"),
        "root-device-type" => one("ebs"),
        "state" => one("available"),
        "virtualization-type" => one("hvm"),
        "manifest-location" => one(format!("amazon/{}", image.name)),
        "platform" | "product-code" | "product-code.type" | "tag-key" => Vec::new(),
        name if name.starts_with("tag:") || name.starts_with("block-device-mapping.") => Vec::new(),
        _ => return None,
    })
}

pub(crate) fn describe(
    _: &Ec2,
    cx: &mut Context,
    input: ec2::DescribeImagesRequest,
) -> Result<ec2::DescribeImagesResult, ApiError> {
    begin(cx, input.dry_run)?;
    let region = cx.scope.region.clone();
    let named = input.image_ids.unwrap_or_default();
    for id in &named {
        if ImageId::parse(id).is_none() {
            return Err(texts::malformed_image(id));
        }
        if images::find(&region, id).is_none() {
            return Err(texts::image_not_found(id, &images::all(&region)));
        }
    }
    let owners = input.owners.unwrap_or_default();
    let owned = owners.is_empty() || owners.iter().any(|owner| matches!(owner.as_str(), "amazon" | images::OWNER));
    let users = input.executable_users.unwrap_or_default();
    let public = users.is_empty() || users.iter().any(|user| user == "all");
    let mut found = Vec::new();
    for image in images::all(&region).into_iter().filter(|_| owned && public) {
        if (named.is_empty() || named.contains(&image.id))
            && describe::kept(input.filters.as_deref(), |name| filter(&image, name))?
        {
            found.push(image);
        }
    }
    found.sort_by(|a, b| a.id.cmp(&b.id));
    let (page, next_token) =
        describe::page(found, input.max_results, input.next_token.as_deref(), |image| image.id.clone())?;
    Ok(ec2::DescribeImagesResult { images: Some(page.iter().map(show).collect()), next_token })
}
