//! From rows to columns and back: one definition of a row gives the CSV header, the Arrow schema, and how it is read.

use std::sync::Arc;

use arrow::array::{
    Array as _, ArrayRef, BooleanArray, Float64Array, RecordBatch, StringArray, UInt32Array, UInt64Array,
};
use arrow::datatypes::{DataType, Field, Schema};
use arrow::error::ArrowError;
use intake::shown;

use crate::Site;
use crate::words::word;

/// A type that can stand in a cell; `Option` of it may be null.
pub trait Cell: Sized {
    /// Arrow type of the column.
    const TYPE: DataType;
    /// True if the column may hold nulls.
    const NULLABLE: bool;
    /// The column of these values.
    fn column(values: impl Iterator<Item = Self>) -> ArrayRef;
    /// The values of a column of this name.
    ///
    /// # Errors
    /// It is of another type, holds null where none may be, or a word that is none of such a column.
    fn values(name: &str, column: &ArrayRef) -> Result<Vec<Self>, ArrowError>;
}

macro_rules! cell {
    ($type:ty, $arrow:expr, $array:ty, $read:expr) => {
        impl Cell for $type {
            const TYPE: DataType = $arrow;
            const NULLABLE: bool = false;
            fn column(values: impl Iterator<Item = Self>) -> ArrayRef {
                Arc::new(values.map(Some).collect::<$array>())
            }
            fn values(name: &str, column: &ArrayRef) -> Result<Vec<Self>, ArrowError> {
                let values = <Option<Self> as Cell>::values(name, column)?.into_iter();
                values.map(|value| value.ok_or_else(|| misfit(name, "null"))).collect()
            }
        }
        impl Cell for Option<$type> {
            const TYPE: DataType = $arrow;
            const NULLABLE: bool = true;
            fn column(values: impl Iterator<Item = Self>) -> ArrayRef {
                Arc::new(values.collect::<$array>())
            }
            fn values(name: &str, column: &ArrayRef) -> Result<Vec<Self>, ArrowError> {
                let values = column.as_any().downcast_ref::<$array>();
                let values = values.ok_or_else(|| misfit(name, &column.data_type().to_string()))?;
                values.iter().map(|value| value.map(|value| $read(name, value)).transpose()).collect()
            }
        }
    };
}

cell!(bool, DataType::Boolean, BooleanArray, |_, value| Ok(value));
cell!(u32, DataType::UInt32, UInt32Array, |_, value| Ok(value));
cell!(u64, DataType::UInt64, UInt64Array, |_, value| Ok(value));
cell!(f64, DataType::Float64, Float64Array, |_, value| Ok(value));
cell!(String, DataType::Utf8, StringArray, |_, value: &str| Ok(value.to_owned()));
cell!(&'static str, DataType::Utf8, StringArray, |name, value| {
    word(name, value).ok_or_else(|| misfit(name, &shown(value)))
});
cell!(Site, DataType::Utf8, StringArray, |name, value: &str| {
    Site::ALL.into_iter().find(|site| site.name() == value).ok_or_else(|| misfit(name, &shown(value)))
});

/// What a column holds that it cannot hold.
fn misfit(column: &str, found: &str) -> ArrowError {
    ArrowError::CastError(format!("column {column} has {found}"))
}

/// A struct that is one row of a table.
pub trait Row: Sized {
    /// Name of the table: its file name without extension.
    const TABLE: &'static str;
    /// Names, types and nullability of the columns, in order.
    fn fields() -> Vec<Field>;
    /// The columns of these rows.
    fn columns(rows: &[Self]) -> Vec<ArrayRef>;
    /// The rows of these columns, of which as many are taken as a row has.
    ///
    /// # Errors
    /// As [`Cell::values`]; a column that is missing.
    fn rows(columns: &mut dyn Iterator<Item = &ArrayRef>) -> Result<Vec<Self>, ArrowError>;

    /// The rows as one batch of columns.
    ///
    /// # Errors
    /// What arrow says; it says nothing for columns made from one slice of rows.
    fn batch(rows: &[Self]) -> Result<RecordBatch, ArrowError> {
        RecordBatch::try_new(Arc::new(Schema::new(Self::fields())), Self::columns(rows))
    }
}

/// Defines a row struct and its columns: `field: Type = "column"`. Structs of columns that several things have follow
/// after `with`; their columns get a prefix: `field: Struct = "prefix"`.
macro_rules! table {
    ($(#[$meta:meta])* pub struct $row:ident = $table:literal {
        $($(#[$field_meta:meta])* $field:ident: $type:ty = $column:literal,)*
    } $(with {
        $($(#[$part_meta:meta])* $part:ident: $part_type:ty = $prefix:literal,)*
    })?) => {
        $(#[$meta])*
        #[derive(Clone, Debug, PartialEq)]
        pub struct $row {
            $($(#[$field_meta])* pub $field: $type,)*
            $($($(#[$part_meta])* pub $part: $part_type,)*)?
        }

        impl $crate::Row for $row {
            const TABLE: &'static str = $table;
            fn fields() -> Vec<arrow::datatypes::Field> {
                let own = vec![$(arrow::datatypes::Field::new(
                    $column, <$type as $crate::Cell>::TYPE, <$type as $crate::Cell>::NULLABLE,
                ),)*];
                $($(
                    let part = <$part_type as $crate::Row>::fields().into_iter();
                    let named = part.map(|field| {
                        let name = format!(concat!($prefix, "_{}"), field.name());
                        field.with_name(name)
                    });
                    let own: Vec<_> = own.into_iter().chain(named).collect();
                )*)?
                own
            }
            fn columns(rows: &[Self]) -> Vec<arrow::array::ArrayRef> {
                let own: Vec<arrow::array::ArrayRef> =
                    vec![$(<$type as $crate::Cell>::column(rows.iter().map(|row| row.$field.clone())),)*];
                $($(
                    let part: Vec<$part_type> = rows.iter().map(|row| row.$part.clone()).collect();
                    let own: Vec<_> = own.into_iter().chain(<$part_type as $crate::Row>::columns(&part)).collect();
                )*)?
                own
            }
            fn rows(
                columns: &mut dyn Iterator<Item = &arrow::array::ArrayRef>,
            ) -> Result<Vec<Self>, arrow::error::ArrowError> {
                $(let mut $field = $crate::column::next::<$type>($column, columns)?.into_iter();)*
                $($(let mut $part = <$part_type as $crate::Row>::rows(columns)?.into_iter();)*)?
                let row = || Some(Self { $($field: $field.next()?,)* $($($part: $part.next()?,)*)? });
                Ok(std::iter::from_fn(row).collect())
            }
        }
    };
}
pub(crate) use table;

/// The values of the next column.
pub(crate) fn next<C: Cell>(
    name: &str,
    columns: &mut dyn Iterator<Item = &ArrayRef>,
) -> Result<Vec<C>, ArrowError> {
    C::values(name, columns.next().ok_or_else(|| misfit(name, "nothing"))?)
}
