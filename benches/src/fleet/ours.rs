//! Our tasks and our service.

use crate::aws::{Api, ECS, text};
use crate::task::ours::Tasks;
use crate::task::podman::Podman;
use crate::world::Server;
use crate::{Outcome, stop};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_mins(3);
/// How many tasks one call may start, and how many one may describe. Source: the API reference of RunTask and
/// DescribeTasks.
const AT_ONCE: usize = 10;
const DESCRIBED: usize = 100;
/// The family of tasks without logs.
const FAMILY: &str = "plain";
const SERVICE: &str = "rolling";

pub(super) struct Fleet {
    tasks: Tasks,
    api: Api,
}

impl Fleet {
    /// Makes all that tasks need.
    pub(super) fn new(server: &Server, podman: &Podman) -> Outcome<Self> {
        Ok(Self { tasks: Tasks::new(server, podman)?, api: server.api })
    }

    /// How many milliseconds one task takes from the wish until it is RUNNING.
    pub(super) fn start(&self) -> Outcome<f64> {
        self.tasks.start(FAMILY).map(|took| took.wall_ms)
    }

    /// How many seconds pass from the first wish until `count` tasks run.
    pub(super) fn rush(&self, count: usize) -> Outcome<f64> {
        let begun = Instant::now();
        let mut started = Vec::new();
        while started.len() < count {
            let wish = self.tasks.wish(FAMILY, AT_ONCE.min(count - started.len()));
            let made = self.api.json(ECS, "RunTask", &wish)?;
            let tasks = made.pointer("/tasks").and_then(Value::as_array).ok_or("RunTask answers no tasks")?;
            for task in tasks {
                started.push(text(task, "/taskArn")?.to_owned());
            }
        }
        for part in started.chunks(DESCRIBED) {
            until("all tasks run", begun, || {
                let wish = json!({ "cluster": "bench", "tasks": part });
                let found = self.api.json(ECS, "DescribeTasks", &wish)?;
                let tasks =
                    found.pointer("/tasks").and_then(Value::as_array).ok_or("DescribeTasks answers no tasks")?;
                if let Some(dead) = tasks.iter().find(|task| task["lastStatus"] == "STOPPED") {
                    return Err(format!("a task has stopped: {}", dead["stoppedReason"]));
                }
                Ok(tasks.len() == part.len() && tasks.iter().all(|task| task["lastStatus"] == "RUNNING"))
            })?;
        }
        Ok(begun.elapsed().as_secs_f64())
    }

    /// Stops all tasks of the cluster, and waits until none is left.
    pub(super) fn stop_all(&self) -> Outcome {
        let begun = Instant::now();
        until("all tasks have stopped", begun, || {
            let found = self.api.json(ECS, "ListTasks", &json!({ "cluster": "bench", "desiredStatus": "RUNNING" }))?;
            let tasks = found.pointer("/taskArns").and_then(Value::as_array).ok_or("ListTasks answers no tasks")?;
            for task in tasks {
                self.api.json(ECS, "StopTask", &json!({ "cluster": "bench", "task": task }))?;
            }
            Ok(tasks.is_empty())
        })
    }

    /// A service of so many tasks, once it is steady.
    pub(super) fn create_service(&self, count: usize) -> Outcome {
        let mut wish = self.tasks.wish(FAMILY, 1);
        wish["serviceName"] = SERVICE.into();
        wish["desiredCount"] = count.into();
        wish.as_object_mut().map(|wish| wish.remove("count"));
        self.api.json(ECS, "CreateService", &wish)?;
        until("the service is steady", Instant::now(), || self.is_steady(count))
    }

    /// How many seconds a new deployment takes until all tasks are its own and healthy.
    pub(super) fn update_service(&self, count: usize) -> Outcome<f64> {
        let begun = Instant::now();
        let wish = json!({ "cluster": "bench", "service": SERVICE, "forceNewDeployment": true });
        self.api.json(ECS, "UpdateService", &wish)?;
        until("the service is updated", begun, || self.is_steady(count))?;
        Ok(begun.elapsed().as_secs_f64())
    }

    pub(super) fn delete_service(&self) -> Outcome {
        self.api.json(ECS, "DeleteService", &json!({ "cluster": "bench", "service": SERVICE, "force": true }))?;
        self.stop_all()
    }

    fn is_steady(&self, count: usize) -> Outcome<bool> {
        let found = self.api.json(ECS, "DescribeServices", &json!({ "cluster": "bench", "services": [SERVICE] }))?;
        let service = found.pointer("/services/0").ok_or("DescribeServices answers no service")?;
        let one = service["deployments"].as_array().is_some_and(|deployments| deployments.len() == 1);
        Ok(one && service["deployments"][0]["rolloutState"] == "COMPLETED" && service["runningCount"] == count)
    }
}

fn until(what: &str, begun: Instant, mut look: impl FnMut() -> Outcome<bool>) -> Outcome {
    while !look()? {
        stop::check()?;
        if begun.elapsed() > PATIENCE {
            return Err(format!("not in {PATIENCE:?}: {what}"));
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    Ok(())
}
