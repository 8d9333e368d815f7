//! The HTML report as a file: what it says without a browser, and that nothing in it is more than data.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a panic is how a test fails

mod synthetic;

use report::{HtmlReport, LedgerRow};
use serde_json::Value;
use synthetic::{comparison, ledger, matrix, table};

/// The data that the scripts of the page are given.
fn data(page: &str) -> Value {
    let (_, rest) = page.split_once("<script type=\"application/json\" id=\"data\">").unwrap();
    serde_json::from_str(rest.split_once("</script>").unwrap().0).unwrap()
}

/// The page without style, scripts and data.
fn markup(page: &str) -> String {
    let (head, rest) = page.split_once("<style>").unwrap();
    let (_, body) = rest.split_once("</style>").unwrap();
    let (body, _) = body.split_once("<script").unwrap();
    format!("{head}{body}")
}

fn position(page: &str, of: &str) -> usize {
    page.find(of).unwrap_or_else(|| panic!("no {of}"))
}

#[test]
fn the_same_tables_give_the_same_bytes() {
    assert_eq!(synthetic::small().render().unwrap(), synthetic::small().render().unwrap());
}

#[test]
fn all_is_said_that_can_be_read_without_scripts() {
    let mut report = synthetic::small();
    report.failures = vec!["activation norms of c: no config.json".into()];
    let markup = markup(&report.render().unwrap());
    let order = [
        "This report is not complete",
        "no config.json",
        "All 24 compared matrices changed, in layers 0–5.",
        "6 of 24 compared matrices changed: mlp_contract and proj in layers 2–4.",
        "unlearned: hidden states moved more on forget text",
        "270.00 MB, last changed 2025-06-15 15:06:40 UTC",
        "outputs/demo/models/filtered",
        "forget: 128 samples, 20000 tokens",
        "because it is not_linear",
        "does not prove a change of behaviour",
        "model_diffs.tolerance",
    ]
    .map(|said| position(&markup, said));
    assert!(order.is_sorted(), "{order:?}");
}

#[test]
fn nothing_is_loaded_and_no_other_script_may_run() {
    let page = synthetic::small().render().unwrap();
    let markup = markup(&page);
    for outside in ["http:", "https:", " src=", "<link", "@import", "<iframe", "<object"] {
        assert!(!markup.contains(outside), "{outside}");
    }
    let (_, policy) = page.split_once("Content-Security-Policy\" content=\"").unwrap();
    let policy = policy.split_once('"').unwrap().0;
    assert!(policy.starts_with("default-src 'none'; script-src 'sha256-"), "{policy}");
    let scripts = policy.split_once("script-src").unwrap().1.split_once(';').unwrap().0;
    assert!(!scripts.contains("unsafe") && !policy.contains("http"), "{policy}");
    assert_eq!(scripts.matches("sha256-").count(), page.matches("<script>").count());
}

#[test]
fn hostile_names_are_text() {
    const HOSTILE: &str = "</script></style><img src=x onerror=\"hacked=1\">'{{data}}\u{2028}<!--<script>";
    let row = matrix(HOSTILE.into(), 0, "qkv", Some((0.5, 1.0)));
    let mut pair = comparison(HOSTILE, HOSTILE, "b", std::slice::from_ref(&row));
    let reason = LedgerRow { reason: Some(HOSTILE.into()), ..ledger(&[row], &[]).remove(0) };
    pair.ledger = table(&[reason]);
    let report = HtmlReport {
        title: HOSTILE.into(),
        comparisons: vec![pair],
        activations: None,
        failures: vec![HOSTILE.into()],
    };
    let page = report.render().unwrap();
    let clean = synthetic::small().render().unwrap();
    for tag in ["<script", "</script", "<img", "<!--", "</style"] {
        assert_eq!(page.matches(tag).count(), clean.matches(tag).count(), "{tag}");
    }
    let data = data(&page);
    assert_eq!(data["comparisons"][0]["label"], HOSTILE);
    assert_eq!(data["comparisons"][0]["per_matrix"]["columns"][0]["texts"][0], HOSTILE);
}

#[test]
fn undefined_is_null_and_cells_add_up() {
    let rows = [
        matrix("a".into(), 3, "qkv", Some((0.3, 4.0))),
        matrix("b".into(), 3, "qkv", None),
        matrix("c".into(), 3, "qkv", Some((0.4, 2.0))),
        matrix("d".into(), 4, "proj", None),
    ];
    let pair = comparison("", "x/a", "x/b", &rows);
    let report =
        HtmlReport { title: "t".into(), comparisons: vec![pair], activations: None, failures: vec![] };
    let page = report.render().unwrap();
    assert!(page.contains("No hidden states were measured"));
    let pair = &data(&page)["comparisons"][0];
    assert_eq!(pair["label"], "a → b");
    let column = |name: &str| {
        let columns = pair["per_matrix"]["columns"].as_array().unwrap();
        columns.iter().find(|column| column["name"] == name).unwrap().clone()
    };
    assert_eq!(column("dW_stable_rank")["numbers"], serde_json::json!([4, null, 2, null]));
    assert_eq!(column("component")["levels"], serde_json::json!(["proj", "qkv"]));
    assert_eq!(column("component")["codes"], serde_json::json!([1, 1, 1, 0]));
    assert!(column("top_k_overlap").get("numbers").is_none(), "all undefined");

    let cells = &pair["by_component"];
    assert_eq!(cells["layer"], serde_json::json!([3, 4]));
    assert_eq!((cells["matrices"][0].as_u64(), cells["changed"][0].as_u64()), (Some(3), Some(2)));
    // Three matrices of equal norm: √(0.3² + 0.4²) / √3.
    assert_eq!(cells["relative"][0].as_f64(), Some(0.288_675));
    assert_eq!(
        (cells["stable_rank"][0].as_f64(), cells["rank_share"][0].as_f64()),
        (Some(3.0), Some(0.005_859_38))
    );
    let bounds = (cells["stable_rank_lower"][0].as_f64(), cells["stable_rank_upper"][0].as_f64());
    assert_eq!(bounds, (Some(1.94), Some(4.12)));
    assert_eq!((&cells["relative"][1], &cells["stable_rank"][1]), (&serde_json::json!(0), &Value::Null));
}

#[test]
fn gaps_stand_first_in_the_ledger_and_among_the_findings() {
    let rows = [matrix("a".into(), 0, "qkv", Some((0.3, 4.0)))];
    let mut pair = comparison("", "a", "b", &rows);
    pair.ledger = table(&ledger(&rows, &[("x", "shapes_differ", true), ("y", "only_in_b", false)]));
    let report =
        HtmlReport { title: "t".into(), comparisons: vec![pair], activations: None, failures: vec![] };
    let markup = markup(&report.render().unwrap());
    assert!(markup.contains("1 tensor should have been compared and could not be: 1 shapes_differ."));
    assert!(position(&markup, "<tr class=\"gap\"><td>shapes_differ") < position(&markup, "<td>compared"));
}

#[test]
fn tables_of_the_python_scripts_make_a_report() {
    let page = synthetic::of_python_scripts().render().unwrap();
    assert!(page.contains("The one compared matrix changed, in layer 0."));
    assert!(page.contains("which does not tell where"));
}
