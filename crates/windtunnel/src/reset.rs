//! `windtunnel reset`: forget everything; `reset --host`: clear what crashed servers left in the kernel.

use crate::daemon;
use crate::outbound;
use crate::output::{print, say};
use crate::paths::{Paths, run_root};
use crate::rootless;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::fs;
use std::io::{BufRead, IsTerminal};
use std::path::Path;

/// Clears what servers that no longer run left on the host: tasks, namespaces, links, rules, mounts, control groups.
pub(crate) fn host() -> Result<(), String> {
    let root = run_root()?;
    // In namespaces of its own nothing of theirs is mounted, and what lives in their own dies with their processes.
    rootless::alone()?;
    // The network first: it knows by its lock which servers run, and without it nothing of theirs reaches anyone.
    let dead = fabric::reset_host(&root).map_err(|error| format!("cannot clear the network: {error}"))?;
    if dead.is_empty() {
        say("nothing was left on this host")?;
    }
    for instance in dead {
        clear_tasks(&root.join(&instance), &instance)?;
        say(format_args!("cleared instance {instance}"))?;
    }
    Ok(())
}

/// Ends what runs of an instance whose network is gone already.
fn clear_tasks(run: &Path, instance: &str) -> Result<(), String> {
    end_companions(run);
    runtime::reset_host(run, instance).map_err(|error| format!("cannot clear the tasks of {instance}: {error}"))?;
    let _ = fs::remove_dir_all(run);
    Ok(())
}

/// Ends the processes of a server that is gone which belong to no task; nothing happens if there are none.
fn end_companions(run: &Path) {
    outbound::end(run);
    let _ = daemon::block_on(async {
        proxy::client::end(run).await;
        proxy::loopback::client::end(run).await;
        Ok(())
    });
    // One that does not listen, where no control group holds it.
    for socket in [proxy::socket_path(run), proxy::loopback::socket_path(run)] {
        if let Some(pid) = proxy::client::pid(&socket) {
            let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
        }
    }
}

/// Deletes the data directory of a stopped server, and what it left on the host.
pub(crate) fn data(paths: &Paths, yes: bool) -> Result<(), String> {
    if let Some(beacon) = daemon::running(paths) {
        return Err(format!("the server runs (pid {}); stop it first: kill {}", beacon.pid, beacon.pid));
    }
    if !yes && !confirmed(paths)? {
        return Err("nothing was deleted".to_owned());
    }
    // Its own traces alone: the tasks of another server that crashed are to be taken over by that server's next start.
    rootless::alone()?;
    fabric::destroy(&paths.run_root, &paths.instance).map_err(|error| format!("cannot clear the network: {error}"))?;
    clear_tasks(&paths.run, &paths.instance)?;
    if !paths.data.exists() {
        return say(format_args!("there is no {}", paths.data.display()));
    }
    fs::remove_dir_all(&paths.data).map_err(|error| format!("cannot delete {}: {error}", paths.data.display()))?;
    say(format_args!("deleted {}", paths.data.display()))
}

fn confirmed(paths: &Paths) -> Result<bool, String> {
    if !std::io::stdin().is_terminal() {
        return Err("reset deletes all state; say --yes where there is no terminal to ask".to_owned());
    }
    print(&format!("Delete {} with everything in it? [y/N] ", paths.data.display()))?;
    let mut answer = String::new();
    std::io::stdin().lock().read_line(&mut answer).map_err(|error| error.to_string())?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}
