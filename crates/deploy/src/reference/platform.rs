//! Repositories with the services' images, roles, log groups and the database's secret.

use super::{PORT, Progress, SERVICES, call, present};
use crate::Failure;
use crate::client::Clients;
use crate::image::Layer;
use crate::push::Registry;
use aws_sdk_ecr::types::ImageScanningConfiguration;

/// What later steps need.
#[derive(Debug, Clone)]
pub(crate) struct Platform {
    /// One image URI a service, in the services' order.
    pub(crate) images: Vec<String>,
    /// One task role a service.
    pub(crate) task_roles: Vec<String>,
    pub(crate) execution_role: String,
    pub(crate) database_secret: String,
}

/// The images' version; never only `latest`.
const VERSION: &str = concat!("v", env!("CARGO_PKG_VERSION"));

const TRUST: &str = r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":"ecs-tasks.amazonaws.com"},"Action":"sts:AssumeRole"}]}"#;

pub(crate) async fn build(clients: &Clients, layer: &Layer, progress: &mut dyn Progress) -> Result<Platform, Failure> {
    let images = repositories(clients, layer, progress).await?;
    progress.begin("Create the execution role and three task roles");
    let execution_role = role(clients, "demo-execution").await?;
    call!(
        "attach the execution policy",
        clients
            .iam
            .attach_role_policy()
            .role_name("demo-execution")
            .policy_arn("arn:aws:iam::aws:policy/service-role/AmazonECSTaskExecutionRolePolicy")
    )?;
    let mut task_roles = Vec::new();
    for service in SERVICES {
        let name = format!("demo-{}", service.name);
        task_roles.push(role(clients, &name).await?);
        let (action, resource) = service.permission;
        call!(
            "put the task role's policy",
            clients
                .iam
                .put_role_policy()
                .role_name(&name)
                .policy_name("application")
                .policy_document(allow(action, resource))
        )?;
    }
    progress.done("demo-execution, demo-<service>");

    progress.begin("Create log groups and the database's secret");
    for service in SERVICES {
        let group = format!("/ecs/{}", service.name);
        call!("create a log group", clients.logs.create_log_group().log_group_name(group))?;
    }
    let made = call!(
        "create the secret",
        clients
            .secrets
            .create_secret()
            .name("demo/database-url")
            .description("How the services reach PostgreSQL")
            .secret_string("postgres://app:demo@db.demo.internal:5432/app")
    )?;
    let database_secret = present(made.arn, "the secret's ARN")?;
    call!(
        "let the execution role read the secret",
        clients
            .iam
            .put_role_policy()
            .role_name("demo-execution")
            .policy_name("secrets")
            .policy_document(allow("secretsmanager:GetSecretValue", &database_secret))
    )?;
    progress.done("/ecs/<service>, demo/database-url");
    Ok(Platform { images, task_roles, execution_role, database_secret })
}

async fn repositories(clients: &Clients, layer: &Layer, progress: &mut dyn Progress) -> Result<Vec<String>, Failure> {
    progress.begin("Create repositories and push the images");
    let mut registry = None;
    let mut images = Vec::new();
    for service in SERVICES {
        let made = call!(
            format!("create the repository {}", service.name),
            clients
                .ecr
                .create_repository()
                .repository_name(service.name)
                .image_scanning_configuration(ImageScanningConfiguration::builder().scan_on_push(true).build())
        )?;
        let uri = present(made.repository.and_then(|repository| repository.repository_uri), "the repository's URI")?;
        let host = uri.split('/').next().unwrap_or_default().to_owned();
        if registry.is_none() {
            let token = call!("log in to the registry", clients.ecr.get_authorization_token())?;
            let token = token.authorization_data().first().and_then(|data| data.authorization_token.clone());
            registry = Some(Registry::new(&host, &present(token, "the authorization token")?));
        }
        let image = layer.image(&["__sample"], &[("SERVICE_NAME", service.name), ("PATH", "/usr/local/bin")], PORT);
        // A tag that names the content, as a git SHA does, beside the version.
        let content = format!("{VERSION}-{}", &image.config.digest["sha256:".len()..][..7]);
        progress.note(&format!("{}:{content}", service.name));
        if let Some(registry) = &registry {
            registry.push(service.name, &image, &[VERSION, &content]).await?;
        }
        images.push(format!("{uri}:{content}"));
    }
    progress.done("three images");
    Ok(images)
}

async fn role(clients: &Clients, name: &str) -> Result<String, Failure> {
    let made = call!(
        format!("create the role {name}"),
        clients.iam.create_role().role_name(name).assume_role_policy_document(TRUST)
    )?;
    present(made.role.map(|role| role.arn), "the role's ARN")
}

fn allow(action: &str, resource: &str) -> String {
    serde_json::json!({
        "Version": "2012-10-17",
        "Statement": [{ "Effect": "Allow", "Action": action, "Resource": resource }],
    })
    .to_string()
}
