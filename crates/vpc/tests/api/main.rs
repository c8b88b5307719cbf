//! The API as its clients call it: each file tells the stories of one resource, against handlers on a store in memory.

mod interfaces;
mod security_groups;
mod world;
