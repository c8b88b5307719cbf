//! AWS's API models: from a botocore wheel to facts in `models/`, and from those to Rust in `crates/model`.
//!
//! `models/services.list` says what is wanted. `sync` needs the wheel and is run by hand when an operation is added or the
//! pin moves; `generate` and `check` need only what is committed.

mod facts;
mod generate;
mod list;
mod names;
mod sync;
mod wheel;

use facts::Facts;
use list::Service;
use std::fs;
use std::path::{Path, PathBuf};

type Outcome<T = ()> = Result<T, String>;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn read(path: &Path) -> Outcome<String> {
    fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))
}

fn write(path: &Path, text: &str) -> Outcome {
    fs::write(path, text).map_err(|error| format!("{}: {error}", path.display()))
}

/// Reads the wheel and writes the facts of every listed service.
pub(crate) fn sync(wheel: &Path) -> Outcome {
    let wanted = list::parse(&read(&root().join("models/services.list"))?)?;
    let wheel = wheel::Wheel::open(wheel, &wanted.botocore)?;
    for service in &wanted.services {
        let facts = sync::extract(&wheel, service)?;
        write(&root().join(format!("models/{}.json", service.name)), &facts.to_text()?)?;
    }
    Ok(())
}

/// Writes the generated sources.
pub(crate) fn generate() -> Outcome {
    for (path, text) in sources()? {
        write(&path, &text)?;
    }
    Ok(())
}

/// Fails if [`generate`] would change anything.
pub(crate) fn check() -> Outcome {
    for (path, text) in sources()? {
        if read(&path)? != text {
            return Err(format!("{} is not what `cargo xtask models` writes", path.display()));
        }
    }
    Ok(())
}

/// What is implemented of a service.
pub(crate) struct Coverage {
    /// Its name here.
    pub(crate) name: String,
    /// The operations that are implemented.
    pub(crate) implemented: Vec<String>,
    /// How many AWS has.
    pub(crate) all: usize,
}

/// What is implemented, service by service in the list's order.
pub(crate) fn coverage() -> Outcome<Vec<Coverage>> {
    let wanted = list::parse(&read(&root().join("models/services.list"))?)?;
    let of = |service: list::Service| {
        let facts = Facts::parse(&read(&root().join(format!("models/{}.json", service.name)))?)?;
        Ok(Coverage { name: service.name, implemented: service.operations, all: facts.all.len() })
    };
    wanted.services.into_iter().map(of).collect()
}

fn sources() -> Outcome<Vec<(PathBuf, String)>> {
    let wanted = list::parse(&read(&root().join("models/services.list"))?)?;
    let folder = root().join("crates/model/src");
    let mut sources = Vec::new();
    for service in &wanted.services {
        let facts = Facts::parse(&read(&root().join(format!("models/{}.json", service.name)))?)?;
        let missing = service.operations.iter().find(|name| facts.operations.get(name).is_none());
        if let Some(missing) = missing {
            return Err(format!("models/{}.json lacks {missing}: run `cargo xtask models sync`", service.name));
        }
        sources.push((folder.join(format!("{}.rs", service.module())), generate::service(service, &facts)?));
    }
    let names: Vec<String> = wanted.services.iter().map(Service::module).collect();
    sources.push((folder.join("lib.rs"), generate::library(&names)));
    Ok(sources)
}
