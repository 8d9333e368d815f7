//! What the fuzz targets share: a folder in memory, and what must hold of whatever it gives.

pub mod archive;
pub mod changing_config;
pub mod invariants;
pub mod memory;
pub mod peak;
