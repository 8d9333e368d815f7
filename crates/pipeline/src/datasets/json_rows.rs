//! A key of the objects in a file with one JSON object a line.

use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::path::Path;

use serde_json::Value;
use weights_io::unique_object;

use super::lines;
use super::rows::OnRow;
use crate::Error;

/// A key that an object lacks is null there, as other readers of such files have it; a key that all lack is an error.
pub(crate) fn read(path: &Path, column: &str, on_row: &mut OnRow<'_>) -> Result<ControlFlow<()>, Error> {
    let (mut found, mut present) = (false, None);
    let broke = lines::for_each(path, &mut |line, text| {
        if text.trim().is_empty() {
            return Ok(ControlFlow::Continue(()));
        }
        let object = unique_object(text.as_bytes()).map_err(|error| {
            // For serde_json it is always line 1.
            let reason = error.to_string().replace(" at line 1 column ", ", in column ");
            let message = format!("no JSON object: {reason}");
            Error::DatasetLine { path: path.into(), line: line as u64, message }
        })?;
        present.get_or_insert_with(|| object.keys().cloned().collect::<BTreeSet<_>>());
        let value = object.get(column);
        found |= value.is_some();
        match value {
            None | Some(Value::Null) => Ok(on_row(None)),
            Some(Value::String(text)) => Ok(on_row(Some(text))),
            Some(other) => {
                let (column, found) = (column.to_owned(), format!("{} in line {line}", kind(other)));
                Err(Error::DatasetColumnType { path: path.into(), column, found })
            }
        }
    })?;
    match present {
        Some(present) if broke.is_continue() && !found => {
            let present = present.into_iter().collect();
            Err(Error::DatasetColumn { path: path.into(), column: column.to_owned(), present })
        }
        _ => Ok(broke),
    }
}

const fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}
