//! Chromium without a window, and a script that is added to a copy of a page: it clicks and types, and tells what it then saw.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Output;
use std::time::Duration;

use assert_cmd::Command;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use report::HtmlReport;
use serde_json::Value;

/// CHROMIUM, or what is on the PATH. If there is none the test says so, past the capture of test output.
pub(crate) fn chromium() -> Option<PathBuf> {
    if let Some(path) = std::env::var_os("CHROMIUM") {
        return Some(path.into());
    }
    let folders: Vec<PathBuf> = std::env::split_paths(&std::env::var_os("PATH")?).collect();
    let names = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"];
    let found = names
        .iter()
        .find_map(|name| folders.iter().map(|folder| folder.join(name)).find(|program| program.is_file()));
    if found.is_none() {
        let _ = writeln!(std::io::stderr(), "SKIPPED: no Chromium is installed; set CHROMIUM to its path");
    }
    found
}

pub(crate) fn browse(chromium: &Path, file: &Path, options: &[&str]) -> Output {
    let profile = tempfile::tempdir().unwrap();
    Command::new(chromium)
        .args([
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-quic",
            "--no-first-run",
            "--hide-scrollbars",
        ])
        .args([
            "--disable-dev-shm-usage",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
        ])
        .args(["--enable-logging=stderr", "--virtual-time-budget=60000"])
        .arg(format!("--user-data-dir={}", profile.path().display()))
        .args(options)
        .arg(format!("file://{}", file.display()))
        .timeout(Duration::from_mins(3)) // one that hangs
        .output()
        .unwrap()
}

/// Catches whatever goes wrong, before any other script runs.
const CATCH: &str = r#"<script>
window.wrong = [];
addEventListener("error", (event) => wrong.push(String(event.error?.stack ?? event.message ?? event.target)), true);
addEventListener("unhandledrejection", (event) => wrong.push(String(event.reason)));
addEventListener("securitypolicyviolation", (event) => wrong.push(event.violatedDirective + " " + event.blockedURI));
for (const kind of ["error", "warn"]) console[kind] = (...said) => wrong.push(kind + ": " + said.join(" "));
</script>"#;

/// What steps need, and how they tell what they saw.
const DRIVE: &str = r#"<script>
const wait = (milliseconds) => new Promise((done) => setTimeout(done, milliseconds));
const one = (selector, within = document) => within.querySelector(selector);
const all = (selector, within = document) => [...within.querySelectorAll(selector)];
const button = (text, within = document) => all("button", within).find((button) => button.textContent === text);
const card = (title) => all("figure.card").find((card) => one("h3", card).textContent.startsWith(title));
const option = (title) => echarts.getInstanceByDom(one(".chart", card(title))).getOption();
const pick = (title, label, value) => {
  const select = one("select", all(".control", card(title)).find((control) => control.textContent.startsWith(label)));
  select.value = value;
  select.dispatchEvent(new Event("change"));
};
const heads = (place) => all(`${place} .tabulator-col`).filter((column) => column.offsetWidth > 0);
const head = (place, name) => heads(place).find((column) => one(".sort", column)?.textContent === name);
const filter = (place, name, value) => {
  const input = one(".tabulator-header-filter :is(input, select)", head(place, name));
  input.value = value;
  for (const kind of ["input", "change"]) input.dispatchEvent(new Event(kind, { bubbles: true }));
  input.dispatchEvent(new KeyboardEvent("keyup", { key: "a", keyCode: 65, bubbles: true }));
};
const cells = (place, name) => {
  const field = head(place, name).getAttribute("tabulator-field");
  return all(`${place} .tabulator-row .tabulator-cell[tabulator-field="${field}"]`).map((cell) => cell.textContent);
};
const count = (place) => one(`${place} output`).textContent;
(async () => {
  let seen;
  try {
    await wait(300);
    seen = await (async () => { /*STEPS*/ })();
  } catch (error) {
    wrong.push(String(error.stack));
  }
  const root = document.documentElement;
  const told = JSON.stringify({ seen, wrong, ready: Number(root.dataset.ready), hacked: typeof hacked,
    overflow: root.scrollWidth - innerWidth, width: innerWidth });
  parent.postMessage(btoa(String.fromCharCode(...new TextEncoder().encode(told))), "*");
})();
</script>"#;

/// The page with one more script at its end.
pub(crate) fn with_script(page: &str, script: &str) -> String {
    let (before, after) = page.rsplit_once("</body>").unwrap(); // scripts may contain the words, too
    format!("{before}{script}</body>{after}")
}

/// What the browser's console was told.
pub(crate) fn console(output: &Output) -> Vec<String> {
    let log = String::from_utf8_lossy(&output.stderr);
    log.lines().filter(|line| line.contains("CONSOLE")).map(str::to_owned).collect()
}

/// Shows a report in a frame of this width, takes the steps, and returns what they returned. Nothing may have gone wrong.
/// Scripts of the page may do anything, so that names that got out of their strings would be noticed.
pub(crate) fn visit(chromium: &Path, report: &HtmlReport, width: u32, steps: &str) -> Value {
    let page = report.render().unwrap();
    let (before, policy) = page.split_once("script-src ").unwrap();
    let (_, after) = policy.split_once(';').unwrap();
    let page = format!("{before}script-src 'unsafe-inline';{after}");
    let page = page.replacen("<style>", &format!("{CATCH}<style>"), 1);
    let page = with_script(&page, &DRIVE.replace("/*STEPS*/", steps));
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("page.html"), page).unwrap();
    let frame = folder.path().join("frame.html");
    // A window cannot be as narrow as a phone; a frame can.
    let html = format!(
        "<!doctype html><pre id=told></pre><script>onmessage = (event) => {{ told.textContent = event.data }}</script>\
         <iframe src=page.html style='width:{width}px;height:1500px;border:0'></iframe>"
    );
    std::fs::write(&frame, html).unwrap();
    let output = browse(chromium, &frame, &["--dump-dom", "--window-size=1700,1600"]);
    let dom = String::from_utf8_lossy(&output.stdout);
    let told = dom
        .split_once("<pre id=\"told\">")
        .and_then(|(_, rest)| rest.split_once("</pre>"))
        .map(|(told, _)| told);
    let told = told.filter(|told| !told.is_empty());
    let told = told.unwrap_or_else(|| panic!("no answer: {:?}", console(&output)));
    let told: Value = serde_json::from_slice(&BASE64_STANDARD.decode(told).unwrap()).unwrap();
    assert_eq!(told["wrong"], serde_json::json!([]), "at {width} pixels");
    assert_eq!(told["hacked"], "undefined");
    assert_eq!(told["width"], width);
    assert!(told["overflow"].as_i64().unwrap() <= 0, "scrolls sideways at {width} pixels: {told}");
    let _ =
        writeln!(std::io::stderr(), "{}: ready after {} ms at {width} pixels", report.title, told["ready"]);
    told["seen"].clone()
}
