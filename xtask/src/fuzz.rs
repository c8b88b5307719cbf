//! Fuzzing: builds the targets of `fuzz/` with counters of coverage, and runs each for a while from its corpus.
//!
//! The stable compiler can do it: the counters are an LLVM pass, and libFuzzer comes with crate `libfuzzer-sys`. What it
//! cannot do is the address sanitizer, which looks for errors that safe Rust does not have.
//!
//! `fuzz/corpus/` is only read. What a run finds worth keeping goes to `fuzz/found/`, from where the next run goes on, and
//! what breaks a target to `fuzz/artifacts/`; neither is committed.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::{Mutex, PoisonError};

type Outcome<T = ()> = Result<T, String>;

/// For how long each target runs unless told otherwise.
const SECONDS: u32 = 20;
/// As `cargo fuzz` passes them, but for the sanitizer.
const COVERAGE: &str = "-Cpasses=sancov-module \
    -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters \
    -Cllvm-args=-sanitizer-coverage-pc-table \
    -Cllvm-args=-sanitizer-coverage-trace-compares \
    -Cllvm-args=-simplifycfg-branch-fold-threshold=0";
/// No input longer than this many bytes is tried; one that takes more than 5 seconds or a gigabyte is an error.
const LIMITS: [&str; 3] = ["-max_len=16384", "-timeout=5", "-rss_limit_mb=1024"];

/// Runs what the words ask for; none if they cannot be understood.
pub(crate) fn run(words: &[&str]) -> Option<Outcome> {
    let (seconds, names) = match words {
        ["--seconds", seconds, names @ ..] => (seconds.parse().ok()?, names),
        names => (SECONDS, names),
    };
    names.iter().all(|name| !name.starts_with('-')).then(|| fuzz(seconds, names))
}

fn fuzz(seconds: u32, names: &[&str]) -> Outcome {
    let names = match names {
        [] => all()?,
        some => some.iter().map(|name| (*name).to_owned()).collect(),
    };
    let programs = build(&names)?;
    // A target has one thread, so there is room for as many as there are processors.
    let room = std::thread::available_parallelism().map_or(1, usize::from);
    let (left, failures) = (Mutex::new(programs.iter()), Mutex::new(Vec::new()));
    let work = || {
        let next = || left.lock().ok()?.next();
        while let Some((name, program)) = next() {
            match target(name, program, seconds) {
                Ok(line) => println!("{line}"),
                Err(text) => failures.lock().unwrap_or_else(PoisonError::into_inner).push(text),
            }
        }
    };
    std::thread::scope(|scope| (0..room).for_each(|_| drop(scope.spawn(work))));
    let failures = failures.into_inner().unwrap_or_else(PoisonError::into_inner);
    if failures.is_empty() { Ok(()) } else { Err(failures.join("\n\n")) }
}

/// The names of all targets.
fn all() -> Outcome<Vec<String>> {
    let folder = root().join("fuzz/targets");
    let listed = fs::read_dir(&folder).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let files = listed.map_err(|error| format!("{}: {error}", folder.display()))?;
    Ok(files.iter().filter_map(|file| Some(file.path().file_stem()?.to_str()?.to_owned())).collect())
}

/// Builds the targets: their names and programs.
fn build(names: &[String]) -> Outcome<BTreeMap<String, PathBuf>> {
    // With `--target` the flags do not reach build scripts and macros, which have no libFuzzer to count for.
    let host = host()?;
    let mut cargo = command(env!("CARGO"));
    cargo.args(["build", "--package=fuzz", "--profile=fuzz", "--features=libfuzzer", "--target", &host]);
    cargo.arg("--message-format=json-render-diagnostics");
    cargo.env_remove("CARGO_ENCODED_RUSTFLAGS").env("RUSTFLAGS", COVERAGE);
    cargo.args(names.iter().map(|name| format!("--bin={name}")));
    cargo.stderr(std::process::Stdio::inherit());
    let output = output(&mut cargo)?;
    if !output.status.success() {
        return Err("the fuzz targets do not build".to_owned());
    }
    let messages = output.stdout.split(|byte| *byte == b'\n').filter_map(|line| serde_json::from_slice(line).ok());
    let program = |message: serde_json::Value| {
        let name = message["target"]["name"].as_str()?.to_owned();
        Some((name, PathBuf::from(message["executable"].as_str()?)))
    };
    Ok(messages.filter_map(program).collect())
}

fn host() -> Outcome<String> {
    let output = output(command("rustc").arg("-vV"))?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let host = text.lines().find_map(|line| line.strip_prefix("host: "));
    host.map(str::to_owned).ok_or_else(|| format!("rustc does not name its host: {text}"))
}

/// Runs one target: a line about what it did, or what broke it.
fn target(name: &str, program: &Path, seconds: u32) -> Outcome<String> {
    // Relative to the repository, where every command runs.
    let [found, corpus, artifacts] = ["found", "corpus", "artifacts"].map(|folder| format!("fuzz/{folder}/{name}/"));
    for folder in [&found, &artifacts] {
        fs::create_dir_all(root().join(folder)).map_err(|error| format!("{folder}: {error}"))?;
    }
    let mut fuzzer = command(program);
    fuzzer.args(LIMITS).arg(format!("-max_total_time={seconds}"));
    fuzzer.arg(format!("-artifact_prefix={artifacts}"));
    // New inputs are written to the first folder.
    fuzzer.args([found, corpus]);
    let output = output(&mut fuzzer)?;
    let log = String::from_utf8_lossy(&output.stderr);
    if !output.status.success() {
        return Err(broken(name, program, &log));
    }
    let field = |name: &str| -> Option<&str> {
        let line = log.lines().rfind(|line| line.contains("DONE") && line.contains(" cov: "))?;
        line.split_once(name)?.1.split_whitespace().next()
    };
    let (Some(runs), Some(coverage), Some(kept), Some(rate)) =
        (field("#"), field(" cov: "), field(" corp: "), field(" exec/s: "))
    else {
        return Err(format!("{name} tells of no coverage:\n{log}"));
    };
    Ok(format!("{name:<10} {runs:>9} runs, {rate:>6} a second, {coverage:>5} edges covered by a corpus of {kept}"))
}

/// What the fuzzer said from the first word of the trouble on, and how to see it again.
fn broken(name: &str, program: &Path, log: &str) -> String {
    let start = log.find("panicked at").or_else(|| log.find("ERROR: libFuzzer")).unwrap_or(0);
    let told: Vec<&str> = log[start..].lines().take_while(|line| !line.starts_with("NOTE: libFuzzer")).collect();
    let artifact = log.split_once("Test unit written to ").and_then(|(_, after)| after.lines().next());
    let artifact = artifact.unwrap_or("(there is no artifact)");
    format!("{name} is broken by {artifact}:\n{}\nreplay: {} {artifact}", told.join("\n"), program.display())
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

#[expect(clippy::disallowed_methods, reason = "a task of the project, not the product")]
fn command(program: impl AsRef<std::ffi::OsStr>) -> Command {
    let mut command = Command::new(program);
    command.current_dir(root());
    command
}

fn output(command: &mut Command) -> Outcome<Output> {
    command.output().map_err(|error| format!("{}: {error}", command.get_program().display()))
}
