//! The dashboard for Grafana: it can be imported, and shows what the daemon tells.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::Command;

use serde_json::Value;
use testbed::{Address, Duplex, Echo, Listener, Pattern, Program, Site, Transport, until};

/// What Grafana writes a number of; <https://github.com/grafana/grafana> has the list.
const UNITS: [&str; 4] = ["short", "s", "cps", "Bps"];
/// Labels that Prometheus adds.
const ADDED: [&str; 2] = ["job", "instance"];

fn dashboard() -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../packaging/grafana/spiped.json");
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

fn list(value: &Value) -> &[Value] {
    value.as_array().unwrap()
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap()
}

/// What panels and variables ask Prometheus for, as it gets it.
fn expressions(dashboard: &Value) -> Vec<String> {
    let panels = list(&dashboard["panels"]).iter();
    let asked = panels.flat_map(|panel| list(&panel["targets"]));
    let mut all: Vec<_> = asked.map(|target| text(&target["expr"])).collect();
    for variable in list(&dashboard["templating"]["list"]) {
        if variable["type"] == "query" {
            let query = text(&variable["query"]["query"]);
            assert_eq!(text(&variable["definition"]), query);
            let inner = query.strip_prefix("label_values(").unwrap();
            // Of a label, which is no part of PromQL.
            all.push(inner.rsplit_once(',').unwrap().0);
        }
    }
    let all = all.into_iter();
    all.map(|text| text.replace("$__rate_interval", "1m"))
        .collect()
}

#[test]
fn grafana_can_import_it() {
    let dashboard = dashboard();
    // Of Grafana 10; later ones take what is older, and no earlier one what is newer.
    assert_eq!(dashboard["schemaVersion"], 39);
    // One that is in the file would be taken for one that there is.
    assert!(dashboard.get("id").is_none_or(Value::is_null));
    assert_eq!(dashboard["uid"], "spiped");
    // Whoever imports it chooses among the sources that there are, so it needs no inputs.
    assert!(dashboard.get("__inputs").is_none());
    let variables = list(&dashboard["templating"]["list"]);
    assert_eq!(variables[0]["type"], "datasource");
    assert_eq!(variables[0]["query"], "prometheus");
    let source = format!("${{{}}}", text(&variables[0]["name"]));
    let mut names: BTreeSet<_> = variables.iter().map(|it| text(&it["name"])).collect();
    names.insert("__rate_interval");
    for variable in &variables[1..] {
        assert_eq!(text(&variable["datasource"]["uid"]), source);
    }
    let (mut ids, mut cells) = (BTreeSet::new(), BTreeSet::new());
    for panel in list(&dashboard["panels"]) {
        let title = text(&panel["title"]);
        assert!(ids.insert(panel["id"].as_u64().unwrap()), "{title}");
        assert!(["stat", "timeseries"].contains(&text(&panel["type"])));
        assert_eq!(text(&panel["datasource"]["uid"]), source, "{title}");
        let unit = text(&panel["fieldConfig"]["defaults"]["unit"]);
        assert!(UNITS.contains(&unit), "{title}: {unit}");
        let [x, y, w, h] = ["x", "y", "w", "h"].map(|at| panel["gridPos"][at].as_u64().unwrap());
        assert!(w > 0 && h > 0 && x + w <= 24, "{title}");
        for cell in (x..x + w).flat_map(|x| (y..y + h).map(move |y| (x, y))) {
            assert!(cells.insert(cell), "{title} lies over another at {cell:?}");
        }
        let mut references = BTreeSet::new();
        for target in list(&panel["targets"]) {
            assert!(references.insert(text(&target["refId"])), "{title}");
            for used in text(&target["expr"]).split('$').skip(1) {
                let end = used.find(|c: char| c != '_' && !c.is_ascii_alphanumeric());
                let used = &used[..end.unwrap_or(used.len())];
                assert!(names.contains(used), "{title}: ${used}");
            }
        }
    }
}

#[test]
fn prometheus_takes_what_it_asks() {
    testbed::need!("promtool");
    let site = Site::new();
    let mut rules = "groups:\n- name: dashboard\n  rules:\n".to_owned();
    for (number, expression) in expressions(&dashboard()).iter().enumerate() {
        let expression = serde_json::to_string(expression).unwrap();
        writeln!(rules, "  - record: r{number}\n    expr: {expression}").unwrap();
    }
    let file = site.dir.write("rules.yml", rules);
    let mut promtool = Command::new("promtool");
    let output = promtool
        .args(["check", "rules"])
        .arg(file)
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
}

/// The labels of each series of a daemon that has served a connection, and the values that they have.
fn exported() -> BTreeMap<String, BTreeMap<String, BTreeSet<String>>> {
    let site = Site::new();
    let [middle, metrics] = std::array::from_fn(|_| Address::free_v4());
    let echo = Echo::serve(Listener::bind(Transport::V4, &site.dir));
    let config = format!(
        "[defaults]\nkey = \"key\"\n\
         [pipe.front]\nmode = \"encrypt\"\nsource = \"{}\"\ntarget = \"{middle}\"\n\
         [pipe.back]\nmode = \"decrypt\"\nsource = \"{middle}\"\ntarget = \"{}\"\n",
        site.source,
        echo.address()
    );
    let file = site.dir.write("pipes.toml", config);
    let mut command = testbed::ours!().bare_spiped();
    command.arg("--config").arg(file);
    command.args(["--metrics", &metrics.to_string()]);
    let mut daemon = Program::serving(&site.dir, "daemon", command, &metrics);
    daemon.listens_on(&site.source);
    let mut client = Duplex::connect(&site.source);
    client.tx.send(&mut Pattern::new(1), 10);
    client.rx.expect(&mut Pattern::new(1), 10);
    let body = until("metrics", || {
        let mut socket = TcpStream::connect(metrics.tcp()).ok()?;
        let request = b"GET /metrics HTTP/1.0\r\n\r\n";
        socket.write_all(request).ok()?;
        let mut answer = String::new();
        socket.read_to_string(&mut answer).ok()?;
        Some(answer.split_once("\r\n\r\n")?.1.to_owned())
    });
    let mut all: BTreeMap<String, BTreeMap<_, BTreeSet<_>>> = BTreeMap::new();
    for line in body.lines().filter(|line| !line.starts_with('#')) {
        let (name, rest) = line.split_once('{').unwrap();
        let labels = all.entry(name.to_owned()).or_default();
        for label in rest.split_once('}').unwrap().0.split(',') {
            let (label, value) = label.split_once('=').unwrap();
            let values = labels.entry(label.to_owned()).or_default();
            values.insert(value.trim_matches('"').to_owned());
        }
    }
    all
}

/// No metric of it, no label, and no value of one is mistyped.
#[test]
fn it_shows_what_the_daemon_tells() {
    let (dashboard, exported) = (dashboard(), exported());
    for variable in list(&dashboard["templating"]["list"]).iter().skip(1) {
        let query = text(&variable["query"]["query"]).trim_end_matches(')');
        let label = query.rsplit_once(", ").unwrap().1;
        let mut known = exported.values().flat_map(BTreeMap::keys);
        assert!(
            ADDED.contains(&label) || known.any(|known| known == label),
            "{query}"
        );
    }
    for expression in expressions(&dashboard) {
        let grouped = expression.split("by (").skip(1);
        let grouped = grouped.flat_map(|rest| rest.split_once(')').unwrap().0.split(", "));
        let grouped: Vec<_> = grouped.collect();
        let mut metrics = expression.split("spiped_").skip(1).peekable();
        assert!(metrics.peek().is_some(), "{expression}");
        for metric in metrics {
            let end = metric.find(|c: char| c != '_' && !c.is_ascii_alphanumeric());
            let (name, rest) = metric.split_at(end.unwrap_or(metric.len()));
            let labels = exported.get(&format!("spiped_{name}"));
            let labels = labels.unwrap_or_else(|| panic!("{expression}: {name}"));
            let selected = rest
                .strip_prefix('{')
                .map_or("", |rest| rest.split_once('}').unwrap().0);
            for selected in selected.split(',').filter(|text| !text.is_empty()) {
                let end = selected.find(['=', '!']).unwrap();
                let (label, value) = (&selected[..end], selected.split('"').nth(1).unwrap());
                if ADDED.contains(&label) {
                    continue;
                }
                let values = labels.get(label);
                let values = values.unwrap_or_else(|| panic!("{expression}: {label}"));
                for value in value.split('|').filter(|value| !value.starts_with('$')) {
                    assert!(values.contains(value), "{expression}: {value}");
                }
            }
            for label in &grouped {
                assert!(labels.contains_key(*label), "{expression}: {label}");
            }
        }
    }
    for panel in list(&dashboard["panels"]) {
        for target in list(&panel["targets"]) {
            let expression = text(&target["expr"]);
            for shown in text(&target["legendFormat"]).split("{{").skip(1) {
                let label = shown.split_once("}}").unwrap().0;
                let (_, grouped) = expression.split_once("by (").unwrap();
                let mut grouped = grouped.split_once(')').unwrap().0.split(", ");
                assert!(grouped.any(|it| it == label), "{expression}: {label}");
            }
        }
    }
}
