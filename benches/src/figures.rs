//! Samples, medians, ratios, and how they are shown.

use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fmt::Write;

/// Ours, in every table.
pub(crate) const OURS: &str = "windtunnel";

/// Which way is better.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Better {
    More,
    Less,
}

/// What we want of a figure.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Aim {
    /// Ours is at most this.
    AtMost(f64),
    /// Ours is at least so many times better than the first peer's.
    Times(f64),
    /// Only to be known.
    None,
}

/// The samples of one measure, by who was measured.
#[derive(Debug, Default)]
pub(crate) struct Samples(BTreeMap<&'static str, Vec<f64>>);

impl Samples {
    pub(crate) fn add(&mut self, who: &'static str, value: f64) {
        self.0.entry(who).or_default().push(value);
    }

    fn spread(&self, who: &str) -> Option<Spread> {
        Spread::of(self.0.get(who)?.clone())
    }

    /// How many times better than the peer we were, round by round.
    fn ratio(&self, better: Better, peer: &str) -> Option<Spread> {
        let pairs = self.0.get(OURS)?.iter().zip(self.0.get(peer)?);
        Spread::of(pairs.map(|(ours, peer)| if better == Better::More { ours / peer } else { peer / ours }).collect())
    }
}

/// The middle, least and greatest of some samples.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Spread {
    median: f64,
    least: f64,
    most: f64,
}

impl Spread {
    fn of(mut all: Vec<f64>) -> Option<Self> {
        all.sort_by(f64::total_cmp);
        Some(Self { median: *all.get(all.len() / 2)?, least: *all.first()?, most: *all.last()? })
    }

    fn json(self) -> Value {
        json!({ "median": self.median, "least": self.least, "most": self.most })
    }
}

impl std::fmt::Display for Spread {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "{} ({}–{})", short(self.median), short(self.least), short(self.most))
    }
}

/// A peer's figure, and how many times better ours is.
#[derive(Debug)]
struct Peer {
    name: &'static str,
    value: Spread,
    ratio: Spread,
}

/// One line: a measure of ours and of its peers.
#[derive(Debug)]
struct Figure {
    case: &'static str,
    measure: &'static str,
    unit: &'static str,
    ours: Spread,
    peers: Vec<Peer>,
    aim: Aim,
}

impl Figure {
    fn aim(&self) -> Option<(String, bool)> {
        match self.aim {
            Aim::AtMost(most) => Some((format!("≤ {most}"), self.ours.median <= most)),
            Aim::Times(least) => {
                let Peer { name, ratio, .. } = self.peers.first()?;
                Some((format!("≥ {least}× {name}"), ratio.median >= least))
            }
            Aim::None => None,
        }
    }
}

/// All that was measured.
#[derive(Debug)]
pub(crate) struct Figures {
    machine: String,
    figures: Vec<Figure>,
}

impl Figures {
    pub(crate) fn new() -> Self {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
        // What follows the version is whose build it is.
        let kernel = kernel.trim().split('-').next().unwrap_or_default().to_owned();
        Self { machine: format!("{cores} cores, Linux {kernel}"), figures: Vec::new() }
    }

    /// Notes the medians of `samples`; the peers in the order given.
    pub(crate) fn add(
        &mut self,
        (case, measure, unit): (&'static str, &'static str, &'static str),
        better: Better,
        samples: &Samples,
        peers: &[&'static str],
        aim: Aim,
    ) {
        let Some(ours) = samples.spread(OURS) else { return };
        let peer = |name| {
            let (value, ratio) = (samples.spread(name)?, samples.ratio(better, name)?);
            Some(Peer { name, value, ratio })
        };
        let peers = peers.iter().filter_map(|name| peer(name)).collect();
        self.figures.push(Figure { case, measure, unit, ours, peers, aim });
    }

    /// A table for people, in Markdown.
    pub(crate) fn table(&self) -> String {
        let mut rows = vec![["case", "measure", "unit", OURS, "peers", "times better", "aim"].map(str::to_owned)];
        rows.extend(self.figures.iter().map(|figure| {
            let each = |show: &dyn Fn(&Peer) -> String| figure.peers.iter().map(show).collect::<Vec<_>>().join(", ");
            let aim = figure.aim().map_or_else(String::new, |(aim, met)| {
                let word = if met { "met" } else { "missed" };
                format!("{aim}: {word}")
            });
            [
                figure.case.to_owned(),
                figure.measure.to_owned(),
                figure.unit.to_owned(),
                figure.ours.to_string(),
                each(&|peer| format!("{} {}", peer.name, peer.value)),
                each(&|peer| peer.ratio.to_string()),
                aim,
            ]
        }));
        let widths: Vec<usize> =
            (0..7).map(|at| rows.iter().map(|row| row[at].chars().count()).max().unwrap_or(0)).collect();
        let mut out = format!("{}; medians, with the least and the greatest of the rounds\n\n", self.machine);
        for (at, row) in rows.iter().enumerate() {
            let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}"));
            let _ = writeln!(out, "| {} |", cells.collect::<Vec<_>>().join(" | "));
            if at == 0 {
                let rule = widths.iter().map(|width| "-".repeat(width + 2)).collect::<Vec<_>>();
                let _ = writeln!(out, "|{}|", rule.join("|"));
            }
        }
        out
    }

    /// The same for programs.
    pub(crate) fn json(&self) -> Value {
        let figures = self.figures.iter().map(|figure| {
            let peers = figure
                .peers
                .iter()
                .map(|peer| json!({ "name": peer.name, "value": peer.value.json(), "timesBetter": peer.ratio.json() }));
            let aim = figure.aim();
            json!({
                "case": figure.case,
                "measure": figure.measure,
                "unit": figure.unit,
                "value": figure.ours.json(),
                "peers": peers.collect::<Vec<_>>(),
                "aim": aim.as_ref().map(|(text, _)| text),
                "met": aim.as_ref().map(|(_, met)| met),
            })
        });
        json!({ "machine": self.machine, "figures": figures.collect::<Vec<_>>() })
    }
}

/// Three digits that count.
fn short(value: f64) -> String {
    match value.abs() {
        size if size >= 100.0 => format!("{value:.0}"),
        size if size >= 10.0 => format!("{value:.1}"),
        size if size >= 1.0 => format!("{value:.2}"),
        _ => format!("{value:.3}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn measured(better: Better, ours: &[f64], peer: &[f64], aim: Aim) -> Figure {
        let mut samples = Samples::default();
        ours.iter().for_each(|value| samples.add(OURS, *value));
        peer.iter().for_each(|value| samples.add("peer", *value));
        let mut figures = Figures::new();
        figures.add(("c", "m", "u"), better, &samples, &["peer", "absent"], aim);
        figures.figures.remove(0)
    }

    #[test]
    fn a_ratio_says_how_many_times_better_we_are_round_by_round() {
        let less = measured(Better::Less, &[2.0, 1.0, 4.0], &[10.0, 9.0, 8.0], Aim::None);
        assert_eq!(less.peers.len(), 1);
        assert_eq!(less.peers[0].ratio, Spread { median: 5.0, least: 2.0, most: 9.0 });
        let more = measured(Better::More, &[10.0], &[2.0], Aim::None);
        assert_eq!(more.peers[0].ratio.to_string(), "5.00 (5.00–5.00)");
    }

    #[test]
    fn an_aim_is_met_or_missed() {
        let met = |ours, aim| measured(Better::Less, &[ours], &[10.0], aim).aim().map(|(_, met)| met);
        assert_eq!(met(2.0, Aim::Times(5.0)), Some(true));
        assert_eq!(met(2.1, Aim::Times(5.0)), Some(false));
        assert_eq!(met(2.0, Aim::AtMost(1.0)), Some(false));
        assert_eq!(met(2.0, Aim::None), None);
    }

    #[test]
    fn the_median_is_a_middle_sample() {
        assert_eq!(Spread::of(vec![9.0, 1.0, 2.0]), Some(Spread { median: 2.0, least: 1.0, most: 9.0 }));
        assert_eq!(Spread::of(vec![]), None);
    }
}
