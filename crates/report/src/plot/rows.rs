//! Rows of a table, as pictures need them.

use super::lines::Point;
use crate::distinct::distinct;
use crate::{Error, Table};

/// For each row its layer; `None` for rows of none, such as the Python scripts' `ALL_MEAN`, and embeddings as layer −1.
///
/// # Errors
/// [`Error::Column`] without such a column, [`Error::NothingToPlot`] if no row has a layer.
pub(super) fn layers(table: &Table) -> Result<Vec<Option<f64>>, Error> {
    table.needed_numbers("layer")?;
    let layers = table.layers();
    if layers.iter().all(Option::is_none) {
        return Err(Error::NothingToPlot { path: table.path().into() });
    }
    Ok(layers.into_iter().map(|layer| layer.map(f64::from)).collect())
}

/// A column of text, empty where it is null.
pub(super) fn named(table: &Table, column: &'static str) -> Result<Vec<String>, Error> {
    Ok(table.needed_texts(column)?.into_iter().map(Option::unwrap_or_default).collect())
}

/// Lower and upper ends of the intervals of all rows.
type Ends<'a> = (&'a [Option<f64>], &'a [Option<f64>]);

/// Components, each once, in the order of a block; others follow.
pub(super) fn in_block_order(components: impl IntoIterator<Item = String>) -> Vec<String> {
    const ORDER: [&str; 4] = ["qkv", "proj", "mlp_expand", "mlp_contract"];
    let mut components = distinct(components);
    let rank =
        |name: &String| (ORDER.iter().position(|known| known == name).unwrap_or(ORDER.len()), name.clone());
    components.sort_by_key(rank);
    components
}

/// The values of some rows over their layers, in order of layer, with intervals where both ends are there.
pub(super) fn over_layers(
    rows: &[usize],
    layers: &[Option<f64>],
    values: &[Option<f64>],
    ends: Option<Ends>,
) -> Vec<Point> {
    let point = |row: usize| {
        let interval = ends.and_then(|(low, high)| low[row].zip(high[row]));
        Some(Point { x: layers[row]?, y: values[row], interval })
    };
    let mut points: Vec<Point> = rows.iter().filter_map(|row| point(*row)).collect();
    points.sort_by(|one, other| one.x.total_cmp(&other.x));
    points
}

/// Two of them, with what else is in a file's name, fit into the usual 255 bytes.
const LONGEST: usize = 100;

/// A name as part of a file's name; of a long one, its end.
pub(super) fn file_name(name: &str) -> String {
    let mut file = String::new();
    for character in name.chars() {
        if character.is_ascii_alphanumeric() || "_.-".contains(character) {
            file.push(character);
        } else if !file.ends_with('_') {
            file.push('_');
        }
    }
    file.split_off(file.len().saturating_sub(LONGEST))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_become_file_names() {
        assert_eq!(file_name("runs/a b/../größe"), "runs_a_b_.._gr_e");
        assert_eq!(file_name(&"long".repeat(99)).len(), 100);
    }

    #[test]
    fn points_are_in_order_of_layer_and_rows_without_one_left_out() {
        let layers = [Some(2.0), None, Some(0.0)];
        let values = [Some(5.0), Some(6.0), None];
        let points =
            over_layers(&[0, 1, 2], &layers, &values, Some((&values, &[Some(7.0), None, Some(8.0)])));
        assert_eq!(
            points,
            [
                Point { x: 0.0, y: None, interval: None },
                Point { x: 2.0, y: Some(5.0), interval: Some((5.0, 7.0)) }
            ]
        );
    }
}
