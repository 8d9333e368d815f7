//! What goes over the network to the Hub.
//!
//! hf-hub gives ids, the layout of the cache and the addresses of requests. Its own transfers check neither size nor hash,
//! have no time limits, give up on a lock after five seconds and cannot be interrupted, so transfers are done here.

mod dataset;
mod download;
mod hash;
mod http;
mod listing;
mod lock;
mod model;
mod object;
mod redirect;
mod remote;
mod retry;
mod store;

pub(crate) use download::download;
pub(crate) use http::Client;
pub(crate) use listing::Listing;
pub(crate) use object::Object;
pub(crate) use remote::RemoteFiles;
pub(crate) use retry::Patience;
