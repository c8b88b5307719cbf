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

    fn median(&self, who: &str) -> Option<f64> {
        let mut all = self.0.get(who)?.clone();
        all.sort_by(f64::total_cmp);
        all.get(all.len() / 2).copied()
    }
}

/// One line: a measure of ours and of its peers.
#[derive(Debug)]
struct Figure {
    case: &'static str,
    measure: &'static str,
    unit: &'static str,
    better: Better,
    ours: f64,
    peers: Vec<(&'static str, f64)>,
    aim: Aim,
}

impl Figure {
    /// How many times better than the peer we are.
    fn ratio(&self, peer: f64) -> f64 {
        let (over, under) = if self.better == Better::More { (self.ours, peer) } else { (peer, self.ours) };
        over / under
    }

    fn aim(&self) -> Option<(String, bool)> {
        match self.aim {
            Aim::AtMost(most) => Some((format!("≤ {most}"), self.ours <= most)),
            Aim::Times(least) => {
                let (name, value) = self.peers.first()?;
                Some((format!("≥ {least}× {name}"), self.ratio(*value) >= least))
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
        let Some(ours) = samples.median(OURS) else { return };
        let peers = peers.iter().filter_map(|peer| Some((*peer, samples.median(peer)?))).collect();
        self.figures.push(Figure { case, measure, unit, better, ours, peers, aim });
    }

    /// A table for people, in Markdown.
    pub(crate) fn table(&self) -> String {
        let mut rows = vec![["case", "measure", "unit", OURS, "peers", "times better", "aim"].map(str::to_owned)];
        rows.extend(self.figures.iter().map(|figure| {
            let each = |show: &dyn Fn(&str, f64) -> String| {
                figure.peers.iter().map(|(name, value)| show(name, *value)).collect::<Vec<_>>().join(", ")
            };
            let aim = figure.aim().map_or_else(String::new, |(aim, met)| {
                let word = if met { "met" } else { "missed" };
                format!("{aim}: {word}")
            });
            [
                figure.case.to_owned(),
                figure.measure.to_owned(),
                figure.unit.to_owned(),
                short(figure.ours),
                each(&|name, value| format!("{name} {}", short(value))),
                each(&|_, value| short(figure.ratio(value))),
                aim,
            ]
        }));
        let widths: Vec<usize> =
            (0..7).map(|at| rows.iter().map(|row| row[at].chars().count()).max().unwrap_or(0)).collect();
        let mut out = format!("{}; medians\n\n", self.machine);
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
                .map(|(name, value)| json!({ "name": name, "value": value, "timesBetter": figure.ratio(*value) }));
            let aim = figure.aim();
            json!({
                "case": figure.case,
                "measure": figure.measure,
                "unit": figure.unit,
                "value": figure.ours,
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

    fn figure(better: Better, ours: f64, peer: f64, aim: Aim) -> Figure {
        Figure { case: "c", measure: "m", unit: "u", better, ours, peers: vec![("peer", peer)], aim }
    }

    #[test]
    fn a_ratio_says_how_many_times_better_we_are() {
        assert_eq!(short(figure(Better::Less, 2.0, 10.0, Aim::None).ratio(10.0)), "5.00");
        assert_eq!(short(figure(Better::More, 10.0, 2.0, Aim::None).ratio(2.0)), "5.00");
    }

    #[test]
    fn an_aim_is_met_or_missed() {
        let met = |figure: Figure| figure.aim().map(|(_, met)| met);
        assert_eq!(met(figure(Better::Less, 2.0, 10.0, Aim::Times(5.0))), Some(true));
        assert_eq!(met(figure(Better::Less, 2.1, 10.0, Aim::Times(5.0))), Some(false));
        assert_eq!(met(figure(Better::Less, 2.0, 10.0, Aim::AtMost(1.0))), Some(false));
        assert_eq!(met(figure(Better::Less, 2.0, 10.0, Aim::None)), None);
    }

    #[test]
    fn the_median_is_a_middle_sample() {
        let mut samples = Samples::default();
        [9.0, 1.0, 2.0].into_iter().for_each(|value| samples.add(OURS, value));
        assert_eq!((samples.median(OURS), samples.median("peer")), (Some(2.0), None));
    }
}
