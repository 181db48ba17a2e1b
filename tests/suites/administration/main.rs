//! What administrators do behind every door: the command line, the console and `/api/v1`.

mod doors;
mod forgetting;
mod grants;
