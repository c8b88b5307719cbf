//! The operations of Secrets Manager and of the Parameter Store. One file a resource.

mod page;
mod parameter;
mod parameter_filter;
mod parameter_list;
mod parameter_tags;
mod public_parameter;
mod secret;
mod secret_list;
mod secret_tags;
mod secret_value;

use crate::Secrets;
use gateway::Context;

pub(crate) fn handlers() -> model::secretsmanager::Handlers<Secrets, Context> {
    model::secretsmanager::Handlers {
        create_secret: secret::create,
        delete_secret: secret::delete,
        describe_secret: secret::describe,
        get_resource_policy: secret::get_resource_policy,
        get_secret_value: secret_value::get,
        list_secret_version_ids: secret_value::list_versions,
        list_secrets: secret_list::list,
        put_secret_value: secret_value::put,
        restore_secret: secret::restore,
        tag_resource: secret_tags::tag,
        untag_resource: secret_tags::untag,
        update_secret: secret::update,
    }
}

pub(crate) fn ssm_handlers() -> model::ssm::Handlers<Secrets, Context> {
    model::ssm::Handlers {
        add_tags_to_resource: parameter_tags::add,
        delete_parameter: parameter::delete,
        describe_parameters: parameter_list::describe,
        get_parameter: parameter::get,
        get_parameters: parameter::get_many,
        get_parameters_by_path: parameter_list::get_by_path,
        list_tags_for_resource: parameter_tags::list,
        put_parameter: parameter::put,
        remove_tags_from_resource: parameter_tags::remove,
    }
}
