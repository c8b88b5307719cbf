//! The operations of IAM and STS. One file a resource; [`owner`] holds what roles and users share.

mod access_keys;
mod instance_profiles;
mod owner;
mod page;
mod policies;
mod role_policies;
mod roles;
mod sts;
mod tags;
mod user_policies;
mod users;

use crate::Iam;
use gateway::Context;

pub(crate) fn handlers() -> model::iam::Handlers<Iam, Context> {
    model::iam::Handlers {
        add_role_to_instance_profile: instance_profiles::add_role,
        attach_role_policy: role_policies::attach,
        attach_user_policy: user_policies::attach,
        create_access_key: access_keys::create,
        create_instance_profile: instance_profiles::create,
        create_policy: policies::create,
        create_role: roles::create,
        create_user: users::create,
        delete_access_key: access_keys::delete,
        delete_instance_profile: instance_profiles::delete,
        delete_policy: policies::delete,
        delete_role: roles::delete,
        delete_role_policy: role_policies::delete,
        delete_user: users::delete,
        delete_user_policy: user_policies::delete,
        detach_role_policy: role_policies::detach,
        detach_user_policy: user_policies::detach,
        get_instance_profile: instance_profiles::get,
        get_policy: policies::get,
        get_policy_version: policies::get_version,
        get_role: roles::get,
        get_role_policy: role_policies::get,
        get_user: users::get,
        get_user_policy: user_policies::get,
        list_access_keys: access_keys::list,
        list_attached_role_policies: role_policies::list_attached,
        list_attached_user_policies: user_policies::list_attached,
        list_instance_profile_tags: instance_profiles::list_tags,
        list_instance_profiles: instance_profiles::list,
        list_instance_profiles_for_role: instance_profiles::list_for_role,
        list_policies: policies::list,
        list_policy_versions: policies::list_versions,
        list_role_policies: role_policies::list,
        list_role_tags: roles::list_tags,
        list_roles: roles::list,
        list_user_policies: user_policies::list,
        list_users: users::list,
        put_role_policy: role_policies::put,
        put_user_policy: user_policies::put,
        remove_role_from_instance_profile: instance_profiles::remove_role,
        tag_instance_profile: instance_profiles::tag,
        tag_role: roles::tag,
        untag_instance_profile: instance_profiles::untag,
        untag_role: roles::untag,
        update_assume_role_policy: roles::update_trust,
    }
}

pub(crate) fn sts_handlers() -> model::sts::Handlers<Iam, Context> {
    model::sts::Handlers { assume_role: sts::assume_role, get_caller_identity: sts::get_caller_identity }
}
