//! AWS's words about ECS Exec. The texts of the agent come from the public source of aws/amazon-ssm-agent.

use super::invalid;
use types::ApiError;

/// seen
pub const NOT_ENABLED: &str = "The execute command failed because execute command was not enabled when the task was run or the execute command agent isn't running. Wait and try again or run a new task with execute command enabled and try again.";
/// seen
pub const NO_SUCH_CONTAINER: &str = "Unable to start session because the container doesn't exist.";
/// own
pub const WHICH_CONTAINER: &str =
    "Unable to start session because the task has more than one container. Specify a container name and try again.";
/// own; doc: "Amazon ECS only supports initiating interactive sessions, so you must specify true for this value."
pub const INTERACTIVE_ONLY: &str =
    "Amazon ECS only supports initiating interactive sessions. Interactive must be true.";
/// own
pub const COMMAND_EMPTY: &str = "command can not be empty.";
/// own
pub const TOO_MANY_SESSIONS: &str = "The maximum number of concurrent sessions has been reached. Try again later.";

/// seen
pub fn not_connected() -> ApiError {
    ApiError::new(
        "TargetNotConnectedException",
        "The execute command failed due to an internal error. Try again later.",
    )
}

/// seen
pub fn task_length() -> ApiError {
    invalid("task length should be one of [32,36]")
}

/// seen, of services that are `created` and `updated`; modelled on them for tasks that are `run`
pub fn no_task_role(what: &str, done: &str) -> ApiError {
    invalid(format!(
        "The {what} couldn't be {done} because a valid taskRoleArn is not being used. Specify a valid task role in your task definition and try again."
    ))
}

/// own
pub fn unknown_logging(value: &str) -> ApiError {
    invalid(format!(
        "Invalid logging '{value}' in executeCommandConfiguration. Valid values: [NONE, DEFAULT, OVERRIDE]"
    ))
}

/// own; doc: "If the OVERRIDE logging option is specified, the logConfiguration is required."
pub const LOGGING_WITHOUT_CONFIGURATION: &str =
    "logConfiguration is required in executeCommandConfiguration when logging is OVERRIDE.";
/// own
pub const CONFIGURATION_WITHOUT_OVERRIDE: &str =
    "logConfiguration can be specified in executeCommandConfiguration only when logging is OVERRIDE.";

/// The channel's last word where a process could not be started, or not be served. seen
pub fn failed(why: &str) -> String {
    format!("----------ERROR-------\n{why}")
}

/// seen, with Go's words for why
pub fn not_started(why: &str) -> String {
    failed(&format!("Unable to start command: Failed to start pty: {}", as_go_says(why)))
}

/// agent's source
pub fn unparsable(why: &str) -> String {
    failed(&format!("Unable to start command: Failed to parse commands input: {why}"))
}

/// agent's source
pub fn handshake_timeout() -> String {
    failed(
        "Encountered error while initiating handshake. Handshake timed out. Please ensure that you have the latest version of the session manager plugin.",
    )
}

/// own
pub const IDLE: &str = "Your session timed out due to inactivity.";
/// own
pub const UNREACHED: &str = "The agent in the container cannot open its data channel.";

/// What runc says of a program that cannot be executed, as Go's library says it: a path is named without looking it up.
fn as_go_says(why: &str) -> String {
    let rest = why.strip_prefix("exec: \"").and_then(|rest| rest.split_once("\": "));
    match rest {
        Some((program, cause)) if program.contains('/') => {
            let cause = cause.strip_prefix(&format!("stat {program}: ")).unwrap_or(cause);
            format!("fork/exec {program}: {cause}")
        }
        _ => why.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_program_is_named_as_on_aws() {
        let why = "exec: \"/bin/bash\": stat /bin/bash: no such file or directory";
        let seen = "----------ERROR-------\nUnable to start command: Failed to start pty: fork/exec /bin/bash: no such file or directory";
        assert_eq!(not_started(why), seen);
        let why = "exec: \"DRY_RUN=true\": executable file not found in $PATH";
        assert_eq!(as_go_says(why), why);
    }
}
