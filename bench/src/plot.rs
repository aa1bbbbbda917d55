//! The plot: a panel for each figure that matters, a bar for each peer, whiskers from the least to
//! the most. Plain SVG, without any library.

use std::fmt::Write;

use crate::peers::{Class, Peer, Side};
use crate::report::{PANELS, Panel, Report, show};
use crate::results::{Results, Summary};

const COLUMNS: usize = 3;
const PANEL: f64 = 404.0;
const GAP: f64 = 18.0;
const MARGIN: f64 = 28.0;
const HEADER: f64 = 122.0;
/// Room for the title of a panel.
const TITLE: f64 = 56.0;
const ROW: f64 = 21.0;
/// Room for the name of a peer.
const NAME: f64 = 136.0;
/// The longest bar.
const BAR: f64 = 176.0;
/// How far plain relays may be longer than the longest that encrypts, and whiskers than bars, before
/// they are cut.
const STRETCH: f64 = 1.6;

const INK: &str = "#1f2933";
const FAINT: &str = "#6b7785";

const fn colour(class: Class) -> &'static str {
    match class {
        Class::Ours => "#d9480f",
        Class::Mixed(_) => "#eba07a",
        Class::Encrypted => "#4c6e91",
        Class::Plain => "#b9c2cc",
    }
}

/// One peer of a panel.
struct Row {
    peer: &'static Peer,
    bars: Vec<Option<Summary>>,
}

/// The whole picture.
pub(crate) fn svg(report: &Report, results: &Results) -> String {
    let shown: Vec<(&Panel, Vec<Row>)> = PANELS
        .iter()
        .map(|panel| (panel, rows(panel, results)))
        .filter(|(_, rows)| !rows.is_empty())
        .collect();
    let mut body = String::new();
    let mut top = HEADER;
    for line in shown.chunks(COLUMNS) {
        let tallest = line.iter().map(|(_, rows)| rows.len()).max().unwrap_or(0);
        let height = TITLE + ROW * tallest as f64 + 12.0;
        for (column, (panel, rows)) in line.iter().enumerate() {
            let left = MARGIN + column as f64 * (PANEL + GAP);
            body.push_str(&draw_panel(panel, rows, left, top, height));
        }
        top += height + GAP;
    }
    let width = 2.0 * MARGIN + COLUMNS as f64 * PANEL + (COLUMNS - 1) as f64 * GAP;
    let height = top - GAP + MARGIN;
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" \
         width=\"{width}\" height=\"{height}\" font-family=\"Inter, 'Segoe UI', Helvetica, Arial, \
         'DejaVu Sans', sans-serif\" font-size=\"12\" fill=\"{INK}\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"#f6f7f9\"/>\n{}{body}</svg>\n",
        header(report)
    )
}

fn rows(panel: &Panel, results: &Results) -> Vec<Row> {
    let Some(workload) = panel.workload() else {
        return Vec::new();
    };
    let bars = |peer: &Peer| {
        let metrics = panel.metrics.iter();
        metrics
            .map(|metric| results.summary(workload, peer, *metric))
            .collect()
    };
    let peers = panel.peers(results).into_iter();
    peers
        .map(|peer| Row {
            peer,
            bars: bars(peer),
        })
        .collect()
}

fn header(report: &Report) -> String {
    let mut text = String::new();
    label(
        &mut text,
        MARGIN,
        44.0,
        "spiped beside its peers",
        "font-size=\"24\" font-weight=\"700\"",
    );
    for (line, words) in report.circumstances().iter().enumerate() {
        let y = 66.0 + 17.0 * line as f64;
        label(&mut text, MARGIN, y, words, &format!("fill=\"{FAINT}\""));
    }
    let mut x = MARGIN;
    for (class, words) in [
        (Class::Ours, "this spiped"),
        (Class::Mixed(Side::Front), "this spiped and C"),
        (Class::Encrypted, "other tunnels, encrypted"),
        (
            Class::Plain,
            "not encrypted: relays and the bare connection",
        ),
    ] {
        block(&mut text, x, 97.0, 11.0, 11.0, colour(class), 1.0);
        label(&mut text, x + 17.0, 107.0, words, "");
        x += 46.0 + 6.4 * words.len() as f64;
    }
    whisker(&mut text, x, x + 22.0, 102.5);
    label(
        &mut text,
        x + 29.0,
        107.0,
        "min–max; the bar is the median",
        "",
    );
    text
}

fn draw_panel(panel: &Panel, rows: &[Row], left: f64, top: f64, height: f64) -> String {
    let mut text = String::new();
    // Writing to a string does not fail.
    writeln!(
        text,
        "<rect x=\"{left}\" y=\"{top}\" width=\"{PANEL}\" height=\"{height}\" rx=\"6\" \
         fill=\"#ffffff\" stroke=\"#e1e5ea\"/>"
    )
    .ok();
    let bold = "font-size=\"14\" font-weight=\"600\"";
    label(&mut text, left + 14.0, top + 24.0, panel.title, bold);
    label(
        &mut text,
        left + 14.0,
        top + 42.0,
        &subtitle(panel),
        &format!("fill=\"{FAINT}\" font-size=\"11\""),
    );
    let axis = axis(rows);
    let start = left + NAME;
    for (place, row) in rows.iter().enumerate() {
        let y = top + TITLE + ROW * place as f64;
        let weight = if row.peer.class == Class::Ours {
            " font-weight=\"700\""
        } else {
            ""
        };
        let anchor = format!("text-anchor=\"end\"{weight}");
        label(&mut text, start - 8.0, y + 13.0, row.peer.title, &anchor);
        draw_row(&mut text, row, start, y, axis, weight);
    }
    let bottom = top + TITLE + ROW * rows.len() as f64 - 2.0;
    line(
        &mut text,
        start,
        top + TITLE - 2.0,
        start,
        bottom,
        "#c3cad2",
    );
    text
}

/// The bars of one peer, one below the other, and their values behind them.
fn draw_row(text: &mut String, row: &Row, start: f64, y: f64, axis: f64, weight: &str) {
    let height = (ROW - 6.0) / row.bars.len() as f64;
    let scale = |value: f64| start + (value.max(0.0) / axis).min(1.0) * BAR;
    let mut end = start;
    let mut values = Vec::new();
    for (place, bar) in row.bars.iter().enumerate() {
        let Some(bar) = bar else {
            values.push("–".to_owned());
            continue;
        };
        let top = y + 1.0 + height * place as f64;
        let opacity = if place == 0 { 1.0 } else { 0.6 };
        let tip = scale(bar.median);
        let fill = colour(row.peer.class);
        block(
            text,
            start,
            top,
            (tip - start).max(1.0),
            height - 0.5,
            fill,
            opacity,
        );
        if bar.median > axis {
            cut(text, tip - 18.0, top, height - 0.5);
        } else if bar.min < bar.max {
            let middle = top + height / 2.0;
            if bar.max > axis {
                let beyond = scale(axis) + 5.0;
                line(text, scale(bar.min), middle, beyond, middle, INK);
                end = end.max(beyond);
            } else {
                whisker(text, scale(bar.min), scale(bar.max), middle);
            }
        }
        end = end.max(tip).max(scale(bar.max));
        values.push(show(bar.median));
    }
    let style = format!("font-size=\"11\"{weight}");
    label(text, end + 6.0, y + 13.0, &values.join(" / "), &style);
}

/// The value at the end of the longest bar. A whisker far beyond all bars does not make them short.
fn axis(rows: &[Row]) -> f64 {
    let longest = |of: &dyn Fn(Class) -> bool| {
        let rows = rows.iter().filter(|row| of(row.peer.class));
        let bars = || rows.clone().flat_map(|row| row.bars.iter().flatten());
        let median = bars().map(|bar| bar.median).fold(0.0, f64::max);
        let most = bars().map(|bar| bar.max).fold(0.0, f64::max);
        most.min(median * STRETCH)
    };
    let all = longest(&|_| true);
    let encrypted = longest(&|class| class != Class::Plain);
    let axis = if encrypted > 0.0 {
        all.min(encrypted * STRETCH)
    } else {
        all
    };
    if axis > 0.0 { axis } else { 1.0 }
}

fn subtitle(panel: &Panel) -> String {
    let better = match panel.metrics.first() {
        Some(metric) if metric.more_is_better => "longer is better",
        _ => "shorter is better",
    };
    let unit = match panel.metrics.first() {
        Some(metric) if metric.unit == "/s" => format!("{} per second", metric.title),
        _ => panel.unit().to_owned(),
    };
    let parts = [panel.parts, &unit, better];
    let told: Vec<&str> = parts.into_iter().filter(|part| !part.is_empty()).collect();
    told.join(" · ")
}

fn label(text: &mut String, x: f64, y: f64, words: &str, style: &str) {
    let words = words
        .replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;");
    writeln!(
        text,
        "<text x=\"{x:.1}\" y=\"{y:.1}\" {style}>{words}</text>"
    )
    .ok();
}

fn block(text: &mut String, x: f64, y: f64, width: f64, height: f64, fill: &str, opacity: f64) {
    writeln!(
        text,
        "<rect x=\"{x:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"{height:.1}\" \
         fill=\"{fill}\" fill-opacity=\"{opacity}\"/>"
    )
    .ok();
}

fn line(text: &mut String, x1: f64, y1: f64, x2: f64, y2: f64, stroke: &str) {
    writeln!(
        text,
        "<line x1=\"{x1:.1}\" y1=\"{y1:.1}\" x2=\"{x2:.1}\" y2=\"{y2:.1}\" stroke=\"{stroke}\"/>"
    )
    .ok();
}

fn whisker(text: &mut String, from: f64, to: f64, y: f64) {
    line(text, from, y, to, y, INK);
    for x in [from, to] {
        line(text, x, y - 2.5, x, y + 2.5, INK);
    }
}

/// Shows that a bar goes on beyond the edge.
fn cut(text: &mut String, x: f64, y: f64, height: f64) {
    for shift in [0.0, 5.0] {
        writeln!(
            text,
            "<line x1=\"{:.1}\" y1=\"{:.1}\" x2=\"{:.1}\" y2=\"{:.1}\" stroke=\"#ffffff\" \
             stroke-width=\"2\"/>",
            x + shift,
            y + height,
            x + shift + 4.0,
            y,
        )
        .ok();
    }
}
