//! The command line: what a person types, parsed and handed to the module that does it.

use crate::outbound::Internet;
use crate::paths::Paths;
use clap::{CommandFactory, Parser, Subcommand};
use std::net::SocketAddr;
use std::path::PathBuf;
use types::Pace;

/// AWS's container platform on one machine: real containers, real networks, real load balancers behind the AWS API.
#[derive(Debug, Parser)]
#[command(name = "windtunnel", version, arg_required_else_help = true)]
struct Cli {
    /// The directory that holds all state [default: /var/lib/windtunnel for root, else ~/.local/share/windtunnel]
    #[arg(long, global = true, value_name = "DIR", env = "WINDTUNNEL_DATA_DIR", hide_env_values = true)]
    data_dir: Option<PathBuf>,
    #[command(subcommand)]
    command: Command,
}

/// How the server is started.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct ServeOptions {
    /// The address and port of the AWS API; loopback unless you say otherwise
    #[arg(long, value_name = "ADDR:PORT", default_value = "127.0.0.1:4566")]
    pub(crate) listen: SocketAddr,
    /// Waiting times are divided by this: `real`, or a factor such as 10
    #[arg(long, default_value = "real", value_parser = parse_pace)]
    pub(crate) pace: Pace,
    /// What carries packets from VPCs into the real internet
    #[arg(long, value_name = "HOW", default_value = "auto")]
    pub(crate) internet: Internet,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the server in the foreground
    Serve(ServeOptions),
    /// Bring up the reference deployment: three services behind a load balancer
    Demo {
        #[command(flatten)]
        serve: ServeOptions,
        /// Build it, check it, and exit instead of staying
        #[arg(long)]
        once: bool,
    },
    /// Print the exports that point AWS tools at the server: eval "$(windtunnel env)"
    Env {
        /// The server's address and port
        #[arg(long, value_name = "ADDR:PORT")]
        listen: Option<SocketAddr>,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Say whether the server runs, and what it holds
    Status {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Tell why something works here, or does not
    Explain {
        #[command(subcommand)]
        what: Explain,
    },
    /// Run a command in a running container: windtunnel exec TASK [--container NAME] -- COMMAND…
    Exec(ExecOptions),
    /// Show the network's verdicts as they fall: who connected to whom, who was refused, and by which rule
    Trace(TraceOptions),
    /// Have Fargate Spot take the capacity of a task back, as AWS does when it needs it
    Interrupt {
        /// The task's id or ARN
        task: String,
    },
    /// Delete all state of a stopped server
    Reset {
        /// Also clear what crashed servers left in the kernel, and nothing else
        #[arg(long)]
        host: bool,
        /// Do not ask
        #[arg(long, short)]
        yes: bool,
    },
    /// Show which operations of the AWS API are implemented
    Coverage {
        /// Only this service, e.g. ecs
        service: Option<String>,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Print a completion script for a shell
    Completion {
        /// The shell
        shell: clap_complete::Shell,
    },
}

#[derive(Debug, Subcommand)]
enum Explain {
    /// Go the way of a packet hop by hop: who lets it pass, who refuses it, and what would change that
    Path(PathOptions),
}

/// A question about a path.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct PathOptions {
    /// Where it starts: a task, a service, a load balancer, an eni, an IP address, or `internet`
    pub(crate) from: String,
    /// Where it should end: one of those, or a name such as logs.us-east-1.amazonaws.com
    #[arg(value_name = "TO[:PORT]")]
    pub(crate) to: String,
    /// tcp, udp or icmp [default: tcp where there is a port, else icmp]
    #[arg(long)]
    pub(crate) protocol: Option<String>,
    /// Also send a real packet along it
    #[arg(long)]
    pub(crate) probe: bool,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// A command for a container. The task must have been started with ECS Exec enabled, and with a task role that may.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct ExecOptions {
    /// The task: its id or its ARN
    pub(crate) task: String,
    /// The task's cluster [default: that of the ARN, else default]
    #[arg(long)]
    pub(crate) cluster: Option<String>,
    /// The container; needed where the task has several
    #[arg(long, value_name = "NAME")]
    pub(crate) container: Option<String>,
    /// The server's address [default: that of the server on the data directory]
    #[arg(long, value_name = "URL", env = "AWS_ENDPOINT_URL", hide_env_values = true)]
    pub(crate) endpoint: Option<String>,
    /// The command and its arguments
    #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true)]
    pub(crate) command: Vec<String>,
}

/// Which verdicts to show.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct TraceOptions {
    /// Only those of a task, a service, a load balancer, an eni or an IP address
    pub(crate) who: Option<String>,
    /// Only those that fall in this VPC
    #[arg(long, value_name = "ID")]
    pub(crate) vpc: Option<String>,
    /// Only refusals
    #[arg(long)]
    pub(crate) rejected: bool,
    /// Print JSON, an object a line
    #[arg(long)]
    pub(crate) json: bool,
}

fn parse_pace(text: &str) -> Result<Pace, String> {
    if text == "real" {
        return Ok(Pace::REAL);
    }
    let factor = text.parse().ok().and_then(Pace::new);
    factor.ok_or_else(|| "a pace is `real` or a number of at least 1".to_owned())
}

/// Parses the command line and does what it says.
pub(crate) fn run() -> Result<(), String> {
    let Cli { data_dir, command } = Cli::parse();
    let data = data_dir.unwrap_or_else(Paths::default_data);
    match command {
        Command::Serve(options) => crate::daemon::serve(&Paths::open(&data)?, &options),
        Command::Demo { serve, once } => crate::demo::run(&Paths::open(&data)?, &serve, once),
        Command::Env { listen, json } => crate::status::env(&Paths::look(&data)?, listen, json),
        Command::Status { json } => crate::status::status(&Paths::look(&data)?, json),
        Command::Explain { what: Explain::Path(options) } => crate::explain::path(&Paths::look(&data)?, &options),
        Command::Exec(options) => std::process::exit(crate::exec::exec(&Paths::look(&data)?, &options)?),
        Command::Trace(options) => crate::trace::trace(&Paths::look(&data)?, &options),
        Command::Interrupt { task } => crate::interrupt::interrupt(&Paths::look(&data)?, &task),
        Command::Reset { host: true, .. } => crate::reset::host(),
        Command::Reset { yes, .. } => crate::reset::data(&Paths::look(&data)?, yes),
        Command::Coverage { service, json } => crate::coverage::print(service.as_deref(), json),
        Command::Completion { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "windtunnel", &mut script);
            crate::output::print(&String::from_utf8_lossy(&script))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_well_formed() {
        Cli::command().debug_assert();
    }

    #[test]
    fn a_pace_is_real_or_a_factor() {
        assert_eq!(parse_pace("real"), Ok(Pace::REAL));
        assert_eq!(parse_pace("10").map(Pace::factor), Ok(10.0));
        assert!(parse_pace("0.5").is_err() && parse_pace("NaN").is_err() && parse_pace("x").is_err());
    }
}
