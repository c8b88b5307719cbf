//! The certificate, the load balancer, its listeners and rules, and the target groups.

use super::network::{Network, public_addresses};
use super::{Deployment, LOAD_BALANCER, PORT, Progress, SERVICES, call, present};
use crate::Failure;
use crate::client::{Clients, code, text};
use aws_sdk_elasticloadbalancingv2::types::{
    Action, ActionTypeEnum, Certificate, FixedResponseActionConfig, Matcher, PathPatternConditionConfig, ProtocolEnum,
    RedirectActionConfig, RedirectActionStatusCodeEnum, RuleCondition, TargetGroupAttribute, TargetTypeEnum,
};

/// What later steps need.
#[derive(Debug, Clone)]
pub(crate) struct Traffic {
    /// One target group a service, in the services' order.
    pub(crate) target_groups: Vec<String>,
}

pub(crate) async fn build(
    clients: &Clients,
    network: &Network,
    progress: &mut dyn Progress,
) -> Result<Traffic, Failure> {
    let elb = &clients.elb;
    progress.begin("Request a certificate");
    let asked = call!("request a certificate", clients.acm.request_certificate().domain_name(super::DOMAIN))?;
    let certificate = present(asked.certificate_arn, "the certificate's ARN")?;
    wait_for_certificate(clients, &certificate).await?;
    progress.done(&certificate);

    progress.begin("Create the load balancer");
    let made = call!(
        "create the load balancer",
        elb.create_load_balancer()
            .name(LOAD_BALANCER)
            .set_subnets(Some(network.public.clone()))
            .security_groups(&network.sg_alb)
    )?;
    let arn =
        present(made.load_balancers().first().and_then(|lb| lb.load_balancer_arn.clone()), "the load balancer's ARN")?;
    progress.done(&arn);

    progress.begin("Create target groups, listeners and rules");
    let mut target_groups = Vec::new();
    for service in SERVICES {
        let made = call!(
            format!("create the target group {}", service.name),
            elb.create_target_group()
                .name(service.name)
                .protocol(ProtocolEnum::Http)
                .port(i32::from(PORT))
                .target_type(TargetTypeEnum::Ip)
                .vpc_id(&network.vpc)
                .health_check_path("/health")
                .health_check_interval_seconds(15)
                .health_check_timeout_seconds(5)
                .healthy_threshold_count(2)
                .unhealthy_threshold_count(3)
                .matcher(Matcher::builder().http_code("200").build())
        )?;
        let group =
            present(made.target_groups().first().and_then(|group| group.target_group_arn.clone()), "the group's ARN")?;
        let delay = TargetGroupAttribute::builder().key("deregistration_delay.timeout_seconds").value("30").build();
        call!(
            "set the draining time",
            elb.modify_target_group_attributes().target_group_arn(&group).attributes(delay)
        )?;
        target_groups.push(group);
    }
    let redirect = RedirectActionConfig::builder()
        .protocol("HTTPS")
        .port("443")
        .status_code(RedirectActionStatusCodeEnum::Http301)
        .build();
    call!(
        "create the listener on port 80",
        elb.create_listener()
            .load_balancer_arn(&arn)
            .protocol(ProtocolEnum::Http)
            .port(80)
            .default_actions(Action::builder().r#type(ActionTypeEnum::Redirect).redirect_config(redirect).build())
    )?;
    let not_found = FixedResponseActionConfig::builder()
        .status_code("404")
        .content_type("application/json")
        .message_body(r#"{"error":"no such service"}"#)
        .build();
    let made = call!(
        "create the listener on port 443",
        elb.create_listener()
            .load_balancer_arn(&arn)
            .protocol(ProtocolEnum::Https)
            .port(443)
            .certificates(Certificate::builder().certificate_arn(&certificate).build())
            .default_actions(
                Action::builder().r#type(ActionTypeEnum::FixedResponse).fixed_response_config(not_found).build()
            )
    )?;
    let listener = present(made.listeners().first().and_then(|l| l.listener_arn.clone()), "the listener's ARN")?;
    for (at, (service, group)) in SERVICES.iter().zip(&target_groups).enumerate() {
        let path = PathPatternConditionConfig::builder().values(format!("{}/*", service.path)).build();
        call!(
            format!("create the rule for {}", service.path),
            elb.create_rule()
                .listener_arn(&listener)
                .priority(i32::try_from(at + 1).unwrap_or(i32::MAX))
                .conditions(RuleCondition::builder().field("path-pattern").path_pattern_config(path).build())
                .actions(Action::builder().r#type(ActionTypeEnum::Forward).target_group_arn(group).build())
        )?;
    }
    progress.done("80 → 443, three paths, else 404");
    Ok(Traffic { target_groups })
}

async fn wait_for_certificate(clients: &Clients, arn: &str) -> Result<(), Failure> {
    for _ in 0..100 {
        let found = call!("describe the certificate", clients.acm.describe_certificate().certificate_arn(arn))?;
        let status =
            found.certificate().and_then(|certificate| certificate.status()).map(|status| status.as_str().to_owned());
        match status.as_deref() {
            Some("ISSUED") => return Ok(()),
            Some("PENDING_VALIDATION") => tokio::time::sleep(std::time::Duration::from_millis(100)).await,
            other => {
                return Err(Failure::new(
                    "wait for the certificate",
                    format!("it is {}", other.unwrap_or("without status")),
                ));
            }
        }
    }
    Err(Failure::new("wait for the certificate", "it was not issued in time"))
}

/// The deployment that stands already, if it does.
pub(crate) async fn standing(clients: &Clients) -> Result<Option<Deployment>, Failure> {
    let found = clients.elb.describe_load_balancers().names(LOAD_BALANCER).send().await;
    match found {
        Ok(found) => match found.load_balancers().first().and_then(|lb| lb.vpc_id.clone()) {
            Some(vpc) => describe(clients, vpc, true).await.map(Some),
            None => Ok(None),
        },
        Err(error) if code(&error).is_some_and(|code| code.starts_with("LoadBalancerNotFound")) => Ok(None),
        Err(error) => Err(Failure::new("look for the load balancer", text(&error))),
    }
}

/// How the load balancer is reached.
pub(crate) async fn describe(clients: &Clients, vpc: String, existed: bool) -> Result<Deployment, Failure> {
    let found = call!("describe the load balancer", clients.elb.describe_load_balancers().names(LOAD_BALANCER))?;
    let lb = present(found.load_balancers().first(), "the load balancer")?;
    let dns_name = present(lb.dns_name.clone(), "the load balancer's name")?;
    let arn = present(lb.load_balancer_arn.clone(), "the load balancer's ARN")?;
    let addresses = public_addresses(clients, &format!("ELB app/{LOAD_BALANCER}/*")).await?;
    let listeners = call!("describe the listeners", clients.elb.describe_listeners().load_balancer_arn(&arn))?;
    let certificate =
        listeners.listeners().iter().find_map(|listener| listener.certificates().first()?.certificate_arn.clone());
    let certificate = present(certificate, "the listener's certificate")?;
    let pem = call!("get the certificate", clients.acm.get_certificate().certificate_arn(certificate))?;
    let certificate =
        format!("{}{}", pem.certificate().unwrap_or_default(), pem.certificate_chain().unwrap_or_default());
    Ok(Deployment { vpc, dns_name, addresses, certificate, existed })
}
