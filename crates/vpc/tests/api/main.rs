//! The API as its clients call it: each file tells the stories of one resource, against handlers on a store in memory.

mod dhcp_options;
mod endpoints;
mod flow_logs;
mod flow_records;
mod insights;
mod instances;
mod interfaces;
mod ipv6;
mod peerings;
mod prefix_lists;
mod refusals;
mod restarts;
mod security_groups;
mod vpcs;
mod world;
