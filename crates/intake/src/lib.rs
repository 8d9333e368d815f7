//! How every reader takes in files from elsewhere, which may be something else than their names say, or made to do harm.
//!
//! [`open`] opens regular files and nothing that could block, [`open_parquet`] none with a schema that ends the process,
//! [`read`] reads a small one within a limit. [`Foreign`] is what is commonly found in place of a file, [`contained`] turns
//! a panic of a library over such a file into a value, and [`shown`] is how text of such files stands in messages.

mod contain;
mod files;
mod foreign;
mod parquet_schema;
mod shown;

pub use contain::{Panic, contained};
pub use files::{open, open_known, open_parquet, open_without_waiting, read};
pub use foreign::Foreign;
pub use shown::{listed, shown};
