//! Known vulnerabilities, in the format of osv.dev (<https://ossf.github.io/osv-schema/>), one or many a file.

use super::inventory::{Format, Inventory, Package};
use super::versions;
use crate::rows::Finding;
use serde::Deserialize;
use serde_json::Value;
use std::cmp::Ordering;
use std::fs;
use std::io;
use std::path::Path;
use std::time::UNIX_EPOCH;
use types::Timestamp;

/// The longest file accepted.
const MAX_FILE: u64 = 512 << 20;

/// What is known.
#[derive(Debug, Default)]
pub(super) struct Feed {
    entries: Vec<Entry>,
    /// When the newest file was written.
    pub(super) updated_at: Option<Timestamp>,
}

#[derive(Debug, Deserialize)]
struct Entry {
    id: String,
    #[serde(default)]
    aliases: Vec<String>,
    #[serde(default)]
    upstream: Vec<String>,
    #[serde(default)]
    summary: String,
    #[serde(default)]
    details: String,
    #[serde(default)]
    withdrawn: Option<String>,
    #[serde(default)]
    affected: Vec<Affected>,
    #[serde(default)]
    references: Vec<Reference>,
    #[serde(default)]
    database_specific: Value,
}

#[derive(Debug, Deserialize)]
struct Affected {
    package: Option<PackageName>,
    #[serde(default)]
    ranges: Vec<Range>,
    #[serde(default)]
    versions: Vec<String>,
    #[serde(default)]
    ecosystem_specific: Value,
    #[serde(default)]
    database_specific: Value,
}

#[derive(Debug, Deserialize)]
struct PackageName {
    ecosystem: String,
    name: String,
}

#[derive(Debug, Deserialize)]
struct Range {
    #[serde(rename = "type", default)]
    kind: String,
    #[serde(default)]
    events: Vec<Event>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Event {
    Introduced(String),
    Fixed(String),
    LastAffected(String),
    Limit(String),
}

#[derive(Debug, Deserialize)]
struct Reference {
    #[serde(default)]
    url: String,
}

impl Feed {
    /// All that the JSON files in `dir` know; nothing if there is no such directory. The error names the file at fault.
    pub(super) fn read(dir: &Path) -> Result<Self, String> {
        let mut feed = Self::default();
        let files = match fs::read_dir(dir) {
            Ok(files) => files,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(feed),
            Err(error) => return Err(format!("vulnerabilities: {error}")),
        };
        for file in files.flatten() {
            let path = file.path();
            if path.extension().is_none_or(|extension| extension != "json") {
                continue;
            }
            let name = file.file_name().to_string_lossy().into_owned();
            feed.add(&path).map_err(|error| format!("vulnerabilities/{name}: {error}"))?;
        }
        Ok(feed)
    }

    fn add(&mut self, path: &Path) -> io::Result<()> {
        let meta = fs::metadata(path)?;
        if meta.len() > MAX_FILE {
            return Err(io::Error::from(io::ErrorKind::FileTooLarge));
        }
        let written = meta.modified()?.duration_since(UNIX_EPOCH).unwrap_or_default();
        let written = Timestamp(i64::try_from(written.as_millis()).unwrap_or(0));
        let bytes = fs::read(path)?;
        let many = bytes.iter().find(|b| !b.is_ascii_whitespace()) == Some(&b'[');
        if many {
            self.entries.extend(serde_json::from_slice::<Vec<Entry>>(&bytes)?);
        } else {
            self.entries.push(serde_json::from_slice(&bytes)?);
        }
        self.updated_at = self.updated_at.max(Some(written));
        Ok(())
    }

    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// What of it concerns the packages of `inventory`.
    pub(super) fn findings(&self, inventory: &Inventory) -> Vec<Finding> {
        let Some(format) = inventory.format else { return Vec::new() };
        let mut findings = Vec::new();
        for entry in self.entries.iter().filter(|entry| entry.withdrawn.is_none()) {
            for affected in &entry.affected {
                let Some(name) = affected.package.as_ref() else { continue };
                if !is_of(&name.ecosystem, &inventory.ecosystem) {
                    continue;
                }
                let named = inventory.packages.iter().filter(|package| package.source == name.name);
                let hit = named.filter(|package| affected.hits(&package.source_version, format));
                findings.extend(hit.map(|package| entry.finding(affected, package)));
            }
        }
        findings
    }
}

/// Whether an entry for `filed` concerns `ours`: `Ubuntu:22.04:LTS` is filed for `Ubuntu:22.04`.
fn is_of(filed: &str, ours: &str) -> bool {
    !ours.is_empty() && filed.strip_prefix(ours).is_some_and(|rest| rest.is_empty() || rest.starts_with(':'))
}

impl Affected {
    fn hits(&self, version: &str, format: Format) -> bool {
        let ranges = self.ranges.iter().filter(|range| range.kind == "ECOSYSTEM");
        self.versions.iter().any(|affected| affected == version)
            || ranges.into_iter().any(|r| r.covers(version, format))
    }
}

impl Range {
    /// As the schema evaluates events: in the order of their versions, each switches the state from there on.
    fn covers(&self, version: &str, format: Format) -> bool {
        let at_least = |bound: &str| bound == "0" || versions::compare(format, version, bound) != Ordering::Less;
        let above = |bound: &str| versions::compare(format, version, bound) == Ordering::Greater;
        let introduced = self.events.iter().any(|event| matches!(event, Event::Introduced(bound) if at_least(bound)));
        let over = self.events.iter().any(|event| match event {
            Event::Fixed(bound) | Event::Limit(bound) => {
                bound != "*" && at_least(bound) && !self.again(bound, version, format)
            }
            Event::LastAffected(bound) => above(bound) && !self.again(bound, version, format),
            Event::Introduced(_) => false,
        });
        introduced && !over
    }

    /// Whether it was introduced again after `end`, at or before `version`.
    fn again(&self, end: &str, version: &str, format: Format) -> bool {
        self.events.iter().any(|event| match event {
            Event::Introduced(bound) if bound != "0" => {
                versions::compare(format, bound, end) == Ordering::Greater
                    && versions::compare(format, version, bound) != Ordering::Less
            }
            _ => false,
        })
    }
}

impl Entry {
    fn finding(&self, affected: &Affected, package: &Package) -> Finding {
        let cve = |id: &&String| id.starts_with("CVE-");
        let name = std::iter::once(&self.id).chain(&self.aliases).chain(&self.upstream).find(cve).unwrap_or(&self.id);
        let text = if self.summary.is_empty() { &self.details } else { &self.summary };
        let uri = self.references.first().map(|reference| reference.url.clone()).filter(|url| !url.is_empty());
        Finding {
            name: name.clone(),
            description: text.clone(),
            uri: uri.unwrap_or_else(|| format!("https://osv.dev/vulnerability/{}", self.id)),
            severity: self.severity(affected).to_owned(),
            package: package.name.clone(),
            version: package.version.clone(),
        }
    }

    fn severity(&self, affected: &Affected) -> &'static str {
        let places = [&affected.ecosystem_specific, &affected.database_specific, &self.database_specific];
        let said = places.iter().find_map(|place| {
            let value = place.get("severity").or(place.get("urgency"))?;
            value.as_str().map(str::to_ascii_lowercase)
        });
        match said.as_deref() {
            Some("critical") => "CRITICAL",
            Some("high" | "important") => "HIGH",
            Some("medium" | "moderate") => "MEDIUM",
            Some("low") => "LOW",
            Some("negligible" | "unimportant") => "INFORMATIONAL",
            _ => "UNDEFINED",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn inventory(version: &str) -> Inventory {
        Inventory {
            ecosystem: "Debian:12".into(),
            format: Some(Format::Dpkg),
            packages: vec![Package {
                name: "libssl3".into(),
                version: version.into(),
                source: "openssl".into(),
                source_version: version.into(),
            }],
        }
    }

    #[test]
    fn a_vulnerability_is_found_from_its_introduction_to_its_fix() {
        let dir = tempfile::tempdir().unwrap();
        let entry = json!({
            "id": "DSA-1", "aliases": ["CVE-2024-1"], "summary": "bad",
            "database_specific": {"severity": "HIGH"},
            "affected": [{
                "package": {"ecosystem": "Debian:12", "name": "openssl"},
                "ranges": [{"type": "ECOSYSTEM", "events": [
                    {"introduced": "0"}, {"fixed": "3.0.11-1"}, {"introduced": "3.1.0"}, {"fixed": "3.1.2"},
                ]}],
            }],
        });
        fs::write(dir.path().join("one.json"), json!([entry]).to_string()).unwrap();
        fs::write(dir.path().join("readme.txt"), "not a feed").unwrap();
        let feed = Feed::read(dir.path()).unwrap();
        for (version, found) in
            [("3.0.9-1", true), ("3.0.11-1", false), ("3.0.12", false), ("3.1.1", true), ("3.1.2", false)]
        {
            assert_eq!(feed.findings(&inventory(version)).len(), usize::from(found), "{version}");
        }
        let finding = &feed.findings(&inventory("3.0.9-1"))[0];
        assert_eq!((finding.name.as_str(), finding.severity.as_str()), ("CVE-2024-1", "HIGH"));
        assert!(feed.updated_at.is_some());
    }

    #[test]
    fn a_broken_file_is_named() {
        let dir = tempfile::tempdir().unwrap();
        assert!(Feed::read(&dir.path().join("none")).unwrap().is_empty());
        fs::write(dir.path().join("bad.json"), "{").unwrap();
        assert!(Feed::read(dir.path()).unwrap_err().contains("bad.json"));
    }
}
