//! Tables as the page holds them: column by column, numbers with the digits that a reader needs, repeated texts once.

use std::collections::BTreeMap;

use serde::{Serialize, Serializer};

use crate::Table;

/// A table of the page.
#[derive(Serialize)]
pub(crate) struct PageTable {
    rows: usize,
    columns: Vec<Column>,
}

/// A column; what is left out is all undefined.
#[derive(Serialize)]
struct Column {
    name: String,
    numeric: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    numbers: Option<Vec<Number>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    texts: Option<Vec<Option<String>>>,
    /// Texts of a column with few different ones; `codes` are indices into it.
    #[serde(skip_serializing_if = "Option::is_none")]
    levels: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    codes: Option<Vec<Option<usize>>>,
}

impl PageTable {
    pub(crate) fn of(table: &Table) -> Self {
        Self { rows: table.rows(), columns: table.columns().map(|name| Column::of(table, name)).collect() }
    }
}

impl Column {
    fn of(table: &Table, name: &str) -> Self {
        let numeric = name != "name" && table.is_numeric(name);
        let mut column =
            Self { name: name.to_owned(), numeric, numbers: None, texts: None, levels: None, codes: None };
        if numeric {
            let numbers = table.numbers(name).unwrap_or_default();
            if numbers.iter().any(Option::is_some) {
                column.numbers = Some(numbers.into_iter().map(Number).collect());
            }
            return column;
        }
        let texts = table.texts(name).unwrap_or_default();
        let mut known: BTreeMap<&str, usize> =
            texts.iter().flatten().map(|text| (text.as_str(), 0)).collect();
        if known.len() * 2 > texts.len() {
            column.texts = Some(texts);
            return column;
        }
        for (code, index) in known.values_mut().enumerate() {
            *index = code;
        }
        let code = |text: &Option<String>| text.as_ref().and_then(|text| known.get(text.as_str()).copied());
        column.codes = Some(texts.iter().map(code).collect());
        column.levels = Some(known.keys().map(|&text| text.to_owned()).collect());
        column
    }
}

/// A number with six significant digits; whole ones in full.
pub(crate) struct Number(pub(crate) Option<f64>);

impl Serialize for Number {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        const WHOLE_UP_TO: f64 = 9_007_199_254_740_992.0; // 2⁵³: all that JavaScript tells apart
        match self.0 {
            None => serializer.serialize_none(),
            Some(whole) if whole.fract() == 0.0 && whole.abs() <= WHOLE_UP_TO => {
                serializer.serialize_i64(whole as i64)
            }
            Some(value) => serializer.serialize_f64(format!("{value:.5e}").parse().unwrap_or(value)),
        }
    }
}

/// Numbers of a column of the page.
pub(crate) fn numbers(values: impl IntoIterator<Item = Option<f64>>) -> Vec<Number> {
    values.into_iter().map(Number).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short_and_undefined_is_null() {
        let numbers =
            numbers([None, Some(0.0), Some(3.0), Some(1.0 / 3.0), Some(-1.234_567_8e-9), Some(1e300)]);
        let json = serde_json::to_string(&numbers).unwrap();
        assert_eq!(json, "[null,0,3,0.333333,-1.23457e-9,1e+300]");
    }
}
