//! From rows to columns: one definition of a row gives the CSV header and the Arrow schema.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanArray, Float64Array, RecordBatch, StringArray, UInt32Array, UInt64Array,
};
use arrow::datatypes::{DataType, Field, Schema};
use arrow::error::ArrowError;

/// A type that can stand in a cell; `Option` of it may be null.
pub trait Cell: Sized {
    /// Arrow type of the column.
    const TYPE: DataType;
    /// True if the column may hold nulls.
    const NULLABLE: bool;
    /// The column of these values.
    fn column(values: impl Iterator<Item = Self>) -> ArrayRef;
}

macro_rules! cell {
    ($type:ty, $arrow:expr, $array:ty) => {
        impl Cell for $type {
            const TYPE: DataType = $arrow;
            const NULLABLE: bool = false;
            fn column(values: impl Iterator<Item = Self>) -> ArrayRef {
                Arc::new(values.map(Some).collect::<$array>())
            }
        }
        impl Cell for Option<$type> {
            const TYPE: DataType = $arrow;
            const NULLABLE: bool = true;
            fn column(values: impl Iterator<Item = Self>) -> ArrayRef {
                Arc::new(values.collect::<$array>())
            }
        }
    };
}

cell!(bool, DataType::Boolean, BooleanArray);
cell!(u32, DataType::UInt32, UInt32Array);
cell!(u64, DataType::UInt64, UInt64Array);
cell!(f64, DataType::Float64, Float64Array);
cell!(String, DataType::Utf8, StringArray);
cell!(&'static str, DataType::Utf8, StringArray);
cell!(crate::Site, DataType::Utf8, StringArray);

/// A struct that is one row of a table.
pub trait Row: Sized {
    /// Name of the table: its file name without extension.
    const TABLE: &'static str;
    /// Names, types and nullability of the columns, in order.
    fn fields() -> Vec<Field>;
    /// The columns of these rows.
    fn columns(rows: &[Self]) -> Vec<ArrayRef>;

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
        }
    };
}
pub(crate) use table;
