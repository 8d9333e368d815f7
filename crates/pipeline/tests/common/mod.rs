//! How tests read tables and compare their cells.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::Value;

/// A row of a table: column name → cell.
pub(crate) type Row = BTreeMap<String, String>;

/// A table, row by row; the fixtures' numeric tables have no quoted fields.
pub(crate) fn csv(folder: &Path, table: &str) -> Vec<Row> {
    let text = std::fs::read_to_string(folder.join(format!("{table}.csv"))).unwrap();
    let mut lines = text.lines();
    let header: Vec<&str> = lines.next().unwrap().split(',').collect();
    lines
        .map(|line| {
            let cells: Vec<&str> = line.split(',').collect();
            assert_eq!(cells.len(), header.len(), "{line}");
            header.iter().map(ToString::to_string).zip(cells.iter().map(ToString::to_string)).collect()
        })
        .collect()
}

/// Equal up to a relative tolerance; null is an empty cell. `scale` is what the value may have cancelled from.
pub(crate) fn agrees(cell: &str, expected: &Value, tolerance: f64, scale: f64) -> bool {
    match (expected, cell) {
        (Value::Null, cell) => cell.is_empty(),
        (Value::String(text), cell) => text == cell,
        (_, "") => false,
        (number, cell) => {
            let (found, expected) = (cell.parse::<f64>().unwrap(), number.as_f64().unwrap());
            (found - expected).abs() <= tolerance * expected.abs().max(scale)
        }
    }
}
