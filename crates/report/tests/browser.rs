//! The HTML report in a real browser, where one is installed.
//!
//! With MODEL_DIFFS_SCREENSHOTS=DIR pictures of the pages are left there, to be looked at.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a panic is how a test fails

mod chromium;
mod synthetic;

use std::path::PathBuf;

use chromium::{browse, chromium, console, visit, with_script};
use report::HtmlReport;
use serde_json::Value;

#[test]
fn charts_obey_their_controls() {
    let Some(chromium) = chromium() else { return };
    let steps = r##"
      const seen = { charts: all(".chart").filter((chart) => one("canvas", chart)).length };
      const names = (title) => option(title).series.filter((series) => series.type === "line").map((series) => series.name);
      seen.components = names("Profile");
      pick("Profile", "Show", "proj");
      seen.only = names("Profile");
      pick("Profile", "Show", "");
      pick("Profile", "Lines", "by_group");
      seen.groups = names("Profile");
      pick("Profile", "Pair", "1");
      pick("Profile", "Metric", "stable_rank");
      seen.whiskers = option("Profile").series.filter((series) => series.type === "custom").map((series) => series.data.length);
      seen.drawn = option("Profile").series[0].data.filter((point) => point !== null).length;
      seen.note = one(".note-line", card("Profile")).textContent;
      seen.axis = [option("Profile").yAxis[0].type];
      button("Log scale", card("Profile")).click();
      seen.axis.push(option("Profile").yAxis[0].type);

      const zoom = () => { const { start, end } = option("Profile").dataZoom[0]; return [start, end]; };
      const area = one(".chart", card("Profile"));
      area.focus();
      seen.focused = document.activeElement === area;
      for (const key of ["+", "+", "ArrowRight"]) area.dispatchEvent(new KeyboardEvent("keydown", { key }));
      seen.zoomed = zoom();
      button("Reset zoom", card("Profile")).click();
      seen.reset = zoom();

      echarts.getInstanceByDom(area).dispatchAction({ type: "showTip", seriesIndex: 0, dataIndex: 3 });
      await wait(200);
      seen.tip = one(".tip", area).textContent;

      area.scrollIntoView();
      const { left, top, width, height } = one("canvas", area).getBoundingClientRect();
      for (const [kind, x] of [["mousedown", 0.4], ["mousemove", 0.5], ["mousemove", 0.7], ["mouseup", 0.7]]) {
        one("canvas", area).dispatchEvent(new MouseEvent(kind, { bubbles: true, view: window, button: 0,
          buttons: 1, clientX: left + x * width, clientY: top + height / 2 }));
        await wait(50);
      }
      const { startValue, endValue } = option("Profile").dataZoom[0];
      seen.dragged = [startValue, endValue];
      seen.described = area.getAttribute("aria-label").length > 20;
      button("Reset zoom", card("Profile")).click();

      seen.heat = option("Where: baseline → unlearned").series.map((series) => series.data.length);
      seen.bands = option("baseline → unlearned").series.filter((series) => series.type === "custom").length;
      seen.spectrum = option("Spectrum").series[0].data.length;
      seen.points = option("Every").series.map((series) => [series.name, series.data.length]);

      const paint = () => [getComputedStyle(document.body).backgroundColor, option("Profile").xAxis[0].axisLabel.color];
      seen.light = paint();
      button("Dark").click();
      seen.dark = paint();
      seen.label = one("#theme").textContent;
      return seen;"##;
    for width in [400, 1600] {
        let seen = visit(&chromium, &synthetic::small(), width, steps);
        let is = |key: &str, wanted: Value| assert_eq!(seen[key], wanted, "{key} at {width} pixels");
        let json = |text: &str| serde_json::from_str::<Value>(text).unwrap();
        is("charts", json("9"));
        is("components", json(r#"["qkv", "proj", "mlp_expand", "mlp_contract"]"#));
        is("only", json(r#"["proj"]"#));
        is("groups", json(r#"["attn", "mlp"]"#));
        is("whiskers", json("[3, 3]"));
        is("drawn", json("3"));
        is("note", "Not drawn: 6 undefined (–).".into());
        is("axis", json(r#"["value", "log"]"#));
        is("focused", true.into());
        assert!(seen["zoomed"][0].as_f64() > Some(0.0) && seen["zoomed"][1].as_f64() < Some(100.0), "{seen}");
        is("reset", json("[0, 100]"));
        assert!(seen["dragged"][0].as_i64() > Some(0) && seen["dragged"][1].as_i64() < Some(5), "{seen}");
        is("described", true.into());
        assert!(seen["tip"].as_str().unwrap().starts_with("layer 3attn"), "{seen}");
        // Six cells changed, eighteen did not, and none is undefined.
        is("heat", json("[6, 18, 0]"));
        is("bands", json("2"));
        is("spectrum", json("64"));
        is("points", json(r#"[["baseline → filtered", 24], ["baseline → unlearned", 6]]"#));
        is("light", json(r##"["rgb(246, 247, 249)", "#566173"]"##));
        is("dark", json(r##"["rgb(17, 21, 27)", "#a3aebd"]"##));
        is("label", "Light".into());
    }
}

#[test]
fn tables_sort_and_filter() {
    let Some(chromium) = chromium() else { return };
    let steps = r##"
      const seen = {};
      const T = "#table-browser", L = "#ledger-browser";
      seen.all = count(T);
      filter(T, "name", "PROJ");
      await wait(400);
      seen.named = [count(T), cells(T, "component").every((cell) => cell === "proj")];
      filter(T, "name", "");
      filter(T, "component", "qkv");
      await wait(400);
      seen.chosen = count(T);
      button("Clear filters", one(T)).click();
      await wait(200);
      seen.cleared = count(T);
      one(`${T} input[type=search]`).value = "layers.4.";
      one(`${T} input[type=search]`).dispatchEvent(new Event("input"));
      await wait(400);
      seen.searched = count(T);
      button("Clear filters", one(T)).click();

      const pair = one(`${T} .control select`);
      pair.value = "1";
      pair.dispatchEvent(new Event("change"));
      await wait(300);
      filter(T, "dW_fro_rel", "> 0.03");
      await wait(400);
      seen.larger = cells(T, "dW_fro_rel").every((cell) => Number(cell) > 0.03) && cells(T, "dW_fro_rel").length;
      filter(T, "dW_fro_rel", "");
      filter(T, "dW_stable_rank", "–");
      await wait(400);
      seen.undefined = [count(T), [...new Set(cells(T, "dW_stable_rank"))]];
      filter(T, "dW_stable_rank", "");
      await wait(400);
      const sort = one(".sort", head(T, "dW_stable_rank"));
      sort.focus();
      seen.focused = document.activeElement === sort;
      const ranks = () => cells(T, "dW_stable_rank").slice(0, 6).map(Number);
      sort.click();
      await wait(300);
      const up = ranks();
      sort.click();
      await wait(300);
      seen.sorted = [up.every((rank, at) => !at || rank >= up[at - 1]), ranks().join() === up.reverse().join(), up.length];

      const before = heads(T).length;
      button("All columns", one(T)).click();
      await wait(300);
      seen.columns = [before, heads(T).length];
      button("activation_diffs", one(T)).click();
      await wait(300);
      seen.other = [count(T), head(T, "relative_diff") !== undefined];
      seen.ledger = count(L);
      filter(L, "status", "not_linear");
      await wait(400);
      seen.status = count(L);
      return seen;"##;
    for width in [400, 1600] {
        let seen = visit(&chromium, &synthetic::small(), width, steps);
        let wanted = serde_json::json!({
            "all": "24 of 24 rows", "named": ["6 of 24 rows", true], "chosen": "6 of 24 rows", "cleared": "24 of 24 rows",
            "searched": "4 of 24 rows", "larger": seen["larger"], "undefined": ["18 of 24 rows", ["–"]], "focused": true,
            "sorted": [true, true, 6], "columns": [10, 71], "other": ["28 of 28 rows", true], "ledger": "26 of 26 rows",
            "status": "2 of 26 rows",
        });
        assert_eq!(seen, wanted, "at {width} pixels");
        assert!((1..6).contains(&seen["larger"].as_i64().unwrap()), "{seen}");
    }
}

#[test]
fn ten_thousand_rows_of_a_hundred_layers() {
    let Some(chromium) = chromium() else { return };
    let steps = r##"
      const T = "#table-browser";
      const seen = { rows: count(T), inDocument: all(`${T} .tabulator-row`).length };
      seen.layers = option("Profile").xAxis[0].data.length;
      seen.cells = option("Where").series.map((series) => series.data.length);
      const holder = one(`${T} .tabulator-tableholder`);
      holder.scrollTop = holder.scrollHeight;
      holder.dispatchEvent(new Event("scroll"));
      await wait(500);
      seen.last = cells(T, "dW_fro_rel").at(-1);
      filter(T, "layer", "42..43");
      await wait(800);
      seen.filtered = count(T);
      seen.layersSeen = [...new Set(cells(T, "layer"))].sort();
      return seen;"##;
    for width in [400, 1600] {
        let seen = visit(&chromium, &synthetic::large(), width, steps);
        assert!(seen["inDocument"].as_i64().unwrap() < 100, "{seen}");
        let wanted = serde_json::json!({
            "rows": "10000 of 10000 rows", "inDocument": seen["inDocument"], "layers": 100, "cells": [344, 56, 0],
            "last": "0", "filtered": "200 of 10000 rows", "layersSeen": seen["layersSeen"],
        });
        assert_eq!(seen, wanted, "at {width} pixels");
        let layers = seen["layersSeen"].as_array().unwrap();
        assert!(!layers.is_empty() && layers.iter().all(|layer| layer == "42" || layer == "43"), "{seen}");
    }
}

#[test]
fn reports_that_lack_parts_work() {
    let Some(chromium) = chromium() else { return };
    let steps = r##"
      for (const title of all("figure.card h3").map((heading) => heading.textContent)) option(title);
      const tables = all("#table-browser .buttons button");
      for (const table of tables) { table.click(); await wait(100); }
      return { sections: all("h2").map((heading) => heading.id), charts: all(".chart").length, tables: tables.length };"##;
    let seen = visit(&chromium, &synthetic::of_python_scripts(), 400, steps);
    let sections =
        ["findings", "compared", "weights", "activations", "tables", "ledger", "reading", "provenance"];
    assert_eq!(seen, serde_json::json!({ "sections": sections, "charts": 3, "tables": 4 }));

    let mut weights_alone = synthetic::small();
    weights_alone.activations = None;
    let seen = visit(&chromium, &weights_alone, 1600, steps);
    let sections = ["findings", "compared", "weights", "tables", "ledger", "reading", "provenance"];
    assert_eq!(seen, serde_json::json!({ "sections": sections, "charts": 5, "tables": 3 }));

    let activations_alone = HtmlReport { comparisons: vec![], ..synthetic::small() };
    let seen = visit(&chromium, &activations_alone, 1600, steps);
    let sections = ["findings", "compared", "activations", "tables", "reading", "provenance"];
    assert_eq!(seen, serde_json::json!({ "sections": sections, "charts": 4, "tables": 2 }));
}

#[test]
fn hostile_names_run_nothing_and_are_shown() {
    const HOSTILE: &str = "</script><img src=x onerror=hacked=1>\"'<script>hacked=1</script>";
    let Some(chromium) = chromium() else { return };
    let rows = [
        synthetic::matrix(HOSTILE.into(), 0, "qkv", Some((0.5, 1.5))),
        synthetic::matrix("plain".into(), 0, "proj", Some((0.2, 9.0))),
    ];
    let mut pair = synthetic::comparison(HOSTILE, HOSTILE, "b", &rows);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("per_layer.csv");
    // Columns, components and statuses of a CSV can be anything as well.
    std::fs::write(
        &path,
        "layer,<img src=x onerror=hacked=1>,group\n0,<b>1</b>,<b>1</b>\n1,<b>1</b>,<b>1</b>\n",
    )
    .unwrap();
    pair.per_layer = report::Table::read(&path).unwrap();
    let report = HtmlReport {
        title: HOSTILE.into(),
        comparisons: vec![pair],
        activations: Some(report::Activations {
            norms: synthetic::table(&synthetic::norms(&[(HOSTILE, 0.0), ("b", 0.2)], 3)),
            differences: Some(synthetic::table(&synthetic::differences(HOSTILE, "b", 3, &|_| 0.2))),
            summary: None,
        }),
        failures: vec![HOSTILE.into()],
    };
    let steps = r##"
      const chart = echarts.getInstanceByDom(one(".chart", card("Every")));
      chart.dispatchAction({ type: "showTip", seriesIndex: 0, dataIndex: 0 });
      await wait(300);
      const seen = { tip: one(".tip-title").textContent, heading: one("h1").textContent };
      seen.cell = cells("#table-browser", "name")[0];
      button("per_layer", one("#table-browser")).click();
      await wait(300);
      seen.columns = heads("#table-browser").map((column) => one(".sort", column).textContent);
      seen.images = all("img, b:not(.tip-row b), script[src]").length;
      return seen;"##;
    let seen = visit(&chromium, &report, 1600, steps);
    let wanted = serde_json::json!({
        "tip": HOSTILE, "heading": HOSTILE, "cell": HOSTILE, "images": 0,
        "columns": ["layer", "<img src=x onerror=hacked=1>", "group"],
    });
    assert_eq!(seen, wanted);
}

#[test]
fn the_policy_lets_the_page_work_and_no_other_script() {
    let Some(chromium) = chromium() else { return };
    let page = synthetic::small().render().unwrap();
    let page = with_script(&page, "<script>document.documentElement.dataset.foreign = 1</script>");
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("report.html");
    std::fs::write(&file, page).unwrap();
    let output = browse(&chromium, &file, &["--dump-dom"]);
    let dom = String::from_utf8_lossy(&output.stdout);
    let root = dom.split_once("<head>").unwrap().0;
    assert!(root.contains("data-ready") && !root.contains("data-foreign"), "{root}");
    let complaints = console(&output);
    assert!(complaints.len() == 1 && complaints[0].contains("Content Security Policy"), "{complaints:?}");
}

#[test]
#[ignore = "writes screenshots to look at into MODEL_DIFFS_SCREENSHOTS"]
fn pictures_to_look_at() {
    let folder = PathBuf::from(std::env::var_os("MODEL_DIFFS_SCREENSHOTS").unwrap());
    let chromium = chromium().unwrap();
    for (name, report) in [("small", synthetic::small()), ("large", synthetic::large())] {
        std::fs::write(folder.join(format!("{name}.html")), report.render().unwrap()).unwrap();
        for (width, height) in [(400, 12_500), (1600, 7500)] {
            for (scheme, setting) in [("light", "1"), ("dark", "0")] {
                let frame = folder.join("frame.html");
                let html = format!(
                    "<!doctype html><meta name=color-scheme content='light dark'><body style='margin:0'>\
                     <iframe src={name}.html style='width:{width}px;height:{height}px;border:0'></iframe>"
                );
                std::fs::write(&frame, html).unwrap();
                let picture = folder.join(format!("{name}_{scheme}_{width}.png"));
                let screenshot = format!("--screenshot={}", picture.display());
                let size = format!("--window-size={},{height}", width.max(500));
                let colours = format!("--blink-settings=preferredColorScheme={setting}");
                browse(&chromium, &frame, &[&screenshot, &size, &colours]);
                assert!(std::fs::metadata(&picture).unwrap().len() > 50_000, "{name}, {width}, {scheme}");
            }
        }
        std::fs::remove_file(folder.join("frame.html")).unwrap();
    }
}
