//! The plot: memory and descriptors of each daemon over time. Plain SVG, without any library.

use std::fmt::Write;

use crate::report::Report;
use crate::sample::{Figures, Samples};

const WIDTH: f64 = 900.0;
const PANEL: f64 = 240.0;
const LEFT: f64 = 70.0;
const RIGHT: f64 = 20.0;
/// Each pairing has a line of the legend, of two names.
const LEGEND: f64 = 74.0;
const LINE: f64 = 16.0;
const GAP: f64 = 60.0;

const INK: &str = "#1f2933";
const FAINT: &str = "#6b7785";
const OURS: [&str; 8] = [
    "#d9480f", "#f08c00", "#a61e4d", "#e8590c", "#862e9c", "#c2255c", "#e67700", "#5f3dc4",
];
const THEIRS: [&str; 4] = ["#4c6e91", "#8fa9c4", "#4c6e91", "#8fa9c4"];

type Panel = (&'static str, fn(&Figures) -> f64);
const PANELS: [Panel; 2] = [
    ("Memory (PSS), MiB", |f| f.memory as f64 / 1024.0),
    ("Descriptors", |f| f.descriptors as f64),
];

/// The whole picture.
pub(crate) fn svg(samples: &Samples, report: &Report) -> String {
    let mut body = String::new();
    label(
        &mut body,
        LEFT,
        36.0,
        "Soak",
        "font-size=\"22\" font-weight=\"700\"",
    );
    label(
        &mut body,
        LEFT,
        56.0,
        &report.title(),
        &format!("fill=\"{FAINT}\""),
    );
    for (place, daemon) in samples.daemons.iter().enumerate() {
        let x = LEFT + 270.0 * (place % 2) as f64;
        let y = LEGEND + LINE * (place / 2) as f64;
        let paint = colour(samples, place);
        // Writing to a string does not fail.
        writeln!(
            body,
            "<rect x=\"{x}\" y=\"{}\" width=\"14\" height=\"4\" fill=\"{paint}\"/>",
            y - 6.0
        )
        .ok();
        label(&mut body, x + 20.0, y, &daemon.name, "");
    }
    let header = LEGEND + LINE * (samples.daemons.len().div_ceil(2)) as f64;
    for (row, (title, figure)) in PANELS.into_iter().enumerate() {
        panel(
            &mut body,
            samples,
            title,
            figure,
            header + 30.0 + (PANEL + GAP) * row as f64,
        );
    }
    let height = header + 30.0 + 2.0 * (PANEL + GAP);
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" \
         width=\"{WIDTH}\" height=\"{height}\" font-family=\"Inter, 'Segoe UI', Helvetica, Arial, \
         'DejaVu Sans', sans-serif\" font-size=\"12\" fill=\"{INK}\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>\n{body}</svg>\n"
    )
}

/// Ours are warm, C's cold.
fn colour(samples: &Samples, place: usize) -> &'static str {
    let is_ours = samples.daemons[place].is_ours;
    let of_kind = |d: &&crate::sample::Daemon| d.is_ours == is_ours;
    let nth = samples.daemons[..place].iter().filter(of_kind).count();
    if is_ours {
        OURS[nth % 8]
    } else {
        THEIRS[nth % 4]
    }
}

fn panel(body: &mut String, samples: &Samples, title: &str, figure: fn(&Figures) -> f64, top: f64) {
    let last = samples
        .all
        .last()
        .map_or(1.0, |s| s.at.as_secs_f64().max(1.0));
    let figures = samples.all.iter().flat_map(|s| s.figures.iter().flatten());
    let most = figures.map(figure).fold(1.0, f64::max) * 1.05;
    let x = |seconds: f64| LEFT + seconds / last * (WIDTH - LEFT - RIGHT);
    let y = |value: f64| top + PANEL * (1.0 - value / most);
    label(body, LEFT, top - 10.0, title, "font-weight=\"600\"");
    for part in 0..=4 {
        let part = f64::from(part) / 4.0;
        let (at, minutes) = (y(most * part), last * part / 60.0);
        writeln!(
            body,
            "<line x1=\"{LEFT}\" x2=\"{}\" y1=\"{at:.1}\" y2=\"{at:.1}\" stroke=\"#e3e7eb\"/>",
            WIDTH - RIGHT
        )
        .ok();
        let faint = format!("fill=\"{FAINT}\" text-anchor=\"end\"");
        label(
            body,
            LEFT - 8.0,
            at + 4.0,
            &format!("{:.1}", most * part),
            &faint,
        );
        let under = top + PANEL + 16.0;
        label(
            body,
            x(last * part),
            under,
            &format!("{minutes:.1} min"),
            &faint,
        );
    }
    for place in 0..samples.daemons.len() {
        let mut points = String::new();
        for sample in &samples.all {
            if let Some(figures) = &sample.figures[place] {
                let (x, y) = (x(sample.at.as_secs_f64()), y(figure(figures)));
                write!(points, "{x:.1},{y:.1} ").ok();
            }
        }
        writeln!(
            body,
            "<polyline points=\"{points}\" fill=\"none\" stroke=\"{}\" stroke-width=\"1.6\"/>",
            colour(samples, place)
        )
        .ok();
    }
}

fn label(body: &mut String, x: f64, y: f64, words: &str, style: &str) {
    writeln!(
        body,
        "<text x=\"{x:.1}\" y=\"{y:.1}\" {style}>{words}</text>"
    )
    .ok();
}
