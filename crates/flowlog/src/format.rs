//! A flow log's format: which fields its lines have, and what stands in them.
//!
//! Source of names, versions and meanings: VPC user guide, "Flow log records".

use crate::{Action, Direction, Flow, Record, Totals, Window};
use std::fmt::Write;
use std::net::{IpAddr, Ipv4Addr};
use types::Timestamp;

macro_rules! fields {
    ($($(#[$doc:meta])* $field:ident = $name:literal, $version:literal;)*) => {
        /// A field of a flow log's lines.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Field {
            $($(#[$doc])* $field,)*
        }

        impl Field {
            const ALL: &'static [Self] = &[$(Self::$field),*];

            /// AWS's name.
            pub fn name(self) -> &'static str {
                match self { $(Self::$field => $name,)* }
            }

            /// The version of flow logs that brought it.
            fn version(self) -> u8 {
                match self { $(Self::$field => $version,)* }
            }
        }
    };
}

fields! {
    /// The highest version among the fields.
    Version = "version", 2;
    /// The owner of the interface.
    AccountId = "account-id", 2;
    /// The interface.
    InterfaceId = "interface-id", 2;
    /// The source; of what the interface sends its own address.
    SourceAddress = "srcaddr", 2;
    /// The destination; of what the interface gets its own address.
    DestinationAddress = "dstaddr", 2;
    /// The source's port.
    SourcePort = "srcport", 2;
    /// The destination's port.
    DestinationPort = "dstport", 2;
    /// The protocol's number.
    Protocol = "protocol", 2;
    /// How many packets.
    Packets = "packets", 2;
    /// How many bytes.
    Bytes = "bytes", 2;
    /// When the first packet passed, in seconds.
    Start = "start", 2;
    /// When the last packet passed, in seconds.
    End = "end", 2;
    /// `ACCEPT` or `REJECT`.
    Action = "action", 2;
    /// `OK`, `NODATA` or `SKIPDATA`.
    LogStatus = "log-status", 2;
    /// The VPC.
    VpcId = "vpc-id", 3;
    /// The subnet.
    SubnetId = "subnet-id", 3;
    /// The instance; there are none here.
    InstanceId = "instance-id", 3;
    /// TCP's flags.
    TcpFlags = "tcp-flags", 3;
    /// `IPv4` or `IPv6`.
    Type = "type", 3;
    /// The source as it stands in the packets.
    PacketSource = "pkt-srcaddr", 3;
    /// The destination as it stands in the packets.
    PacketDestination = "pkt-dstaddr", 3;
    /// The region.
    Region = "region", 4;
    /// The zone's id.
    ZoneId = "az-id", 4;
    /// The kind of sublocation; there are none here.
    SublocationType = "sublocation-type", 4;
    /// The sublocation.
    SublocationId = "sublocation-id", 4;
    /// `ingress` or `egress`.
    FlowDirection = "flow-direction", 5;
}

/// The fields that AWS has and that cannot be known here.
const NOT_HERE: [&str; 18] = [
    "pkt-src-aws-service",
    "pkt-dst-aws-service",
    "traffic-path",
    "ecs-cluster-arn",
    "ecs-cluster-name",
    "ecs-container-instance-arn",
    "ecs-container-instance-id",
    "ecs-container-id",
    "ecs-second-container-id",
    "ecs-service-name",
    "ecs-task-definition-arn",
    "ecs-task-arn",
    "ecs-task-id",
    "reject-reason",
    "resource-id",
    "encryption-status",
    "instance-tags",
    "network-interface-tags",
];

/// Why a text is no format.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FormatError {
    /// It has no fields.
    Empty,
    /// AWS has no such field.
    Unknown(String),
    /// AWS has the field, and here it is not known.
    NotHere(&'static str),
}

/// The fields of a flow log's lines, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Format(Vec<Field>);

impl Default for Format {
    fn default() -> Self {
        Self(Field::ALL.iter().copied().filter(|field| field.version() == 2).collect())
    }
}

/// Whose packets a record speaks of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The owner.
    pub account: String,
    /// The region.
    pub region: String,
    /// The zone's id.
    pub zone_id: String,
    /// The VPC.
    pub vpc: String,
    /// The subnet.
    pub subnet: String,
    /// The interface.
    pub interface: String,
    /// The interface's primary private address.
    pub address: Ipv4Addr,
}

impl Format {
    /// The format in `text`: `${field} ${field}`.
    pub fn parse(text: &str) -> Result<Self, FormatError> {
        let mut fields = Vec::new();
        for word in text.split_ascii_whitespace() {
            let name = word.strip_prefix("${").and_then(|rest| rest.strip_suffix('}'));
            let name = name.ok_or_else(|| FormatError::Unknown(word.to_owned()))?;
            if let Some(name) = NOT_HERE.iter().find(|known| **known == name) {
                return Err(FormatError::NotHere(name));
            }
            let field = Field::ALL.iter().find(|field| field.name() == name);
            fields.push(*field.ok_or_else(|| FormatError::Unknown(name.to_owned()))?);
        }
        if fields.is_empty() { Err(FormatError::Empty) } else { Ok(Self(fields)) }
    }

    /// The format as AWS writes it.
    pub fn text(&self) -> String {
        self.0.iter().map(|field| format!("${{{}}}", field.name())).collect::<Vec<_>>().join(" ")
    }

    /// The line that tells `record`, which came to be in `window` at `place`.
    pub fn line(&self, record: &Record, window: &Window, place: &Place) -> String {
        let mut line = String::new();
        for field in &self.0 {
            if !line.is_empty() {
                line.push(' ');
            }
            match self.value(*field, record, window, place) {
                Some(value) => line.push_str(&value),
                None => line.push('-'),
            }
        }
        line
    }

    /// When a record is told to have been: the start of its flow, or of its interval.
    pub fn time(record: &Record, window: &Window) -> Timestamp {
        if let Record::Flow(_, totals) = record { totals.first } else { window.began }
    }

    fn value(&self, field: Field, record: &Record, window: &Window, place: &Place) -> Option<String> {
        let seconds = |at: Timestamp| at.millis().div_euclid(1000).to_string();
        let (start, end) = match record {
            Record::Flow(_, totals) => (totals.first, totals.last),
            Record::NoData | Record::SkipData => (window.began, window.until),
        };
        Some(match field {
            Field::Version => self.0.iter().map(|field| field.version()).max().unwrap_or(2).to_string(),
            Field::AccountId => place.account.clone(),
            Field::InterfaceId => place.interface.clone(),
            Field::VpcId => place.vpc.clone(),
            Field::SubnetId => place.subnet.clone(),
            Field::Region => place.region.clone(),
            Field::ZoneId => place.zone_id.clone(),
            Field::Start => seconds(start),
            Field::End => seconds(end),
            Field::LogStatus => match record {
                Record::Flow(..) => "OK".to_owned(),
                Record::NoData => "NODATA".to_owned(),
                Record::SkipData => "SKIPDATA".to_owned(),
            },
            of_flow => {
                let Record::Flow(flow, totals) = record else { return None };
                return of(of_flow, flow, totals, place);
            }
        })
    }
}

/// What stands in a field that speaks of a flow.
fn of(field: Field, flow: &Flow, totals: &Totals, place: &Place) -> Option<String> {
    let own = |address: IpAddr| if address.is_ipv4() { IpAddr::V4(place.address) } else { address };
    let mut text = String::new();
    // Writing into a string does not fail.
    let _ = match field {
        Field::SourceAddress if flow.direction == Direction::Egress => write!(text, "{}", own(flow.source)),
        Field::DestinationAddress if flow.direction == Direction::Ingress => write!(text, "{}", own(flow.destination)),
        Field::SourceAddress | Field::PacketSource => write!(text, "{}", flow.source),
        Field::DestinationAddress | Field::PacketDestination => write!(text, "{}", flow.destination),
        Field::SourcePort => write!(text, "{}", flow.source_port),
        Field::DestinationPort => write!(text, "{}", flow.destination_port),
        Field::Protocol => write!(text, "{}", flow.protocol),
        Field::Packets => write!(text, "{}", totals.packets),
        Field::Bytes => write!(text, "{}", totals.bytes),
        Field::TcpFlags => write!(text, "{}", totals.tcp_flags),
        Field::Action => text.write_str(if flow.action == Action::Accept { "ACCEPT" } else { "REJECT" }),
        Field::Type => text.write_str(if flow.source.is_ipv4() { "IPv4" } else { "IPv6" }),
        Field::FlowDirection => text.write_str(if flow.direction == Direction::Ingress { "ingress" } else { "egress" }),
        // There are no instances and no sublocations here.
        _ => return None,
    };
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Sighting, Traffic};
    use std::time::Duration;

    const DEFAULT: &str = "${version} ${account-id} ${interface-id} ${srcaddr} ${dstaddr} ${srcport} ${dstport} \
                           ${protocol} ${packets} ${bytes} ${start} ${end} ${action} ${log-status}";

    fn place() -> Place {
        Place {
            account: "123456789012".to_owned(),
            region: "us-east-1".to_owned(),
            zone_id: "use1-az1".to_owned(),
            vpc: "vpc-1".to_owned(),
            subnet: "subnet-1".to_owned(),
            interface: "eni-1".to_owned(),
            address: Ipv4Addr::new(172, 31, 16, 21),
        }
    }

    /// What AWS's own example of accepted traffic is made of.
    fn window(direction: Direction) -> Window {
        let mut window = Window::new(Timestamp(1_418_530_000_000), Duration::from_secs(600));
        window.add(&Sighting {
            flow: Flow {
                direction,
                action: Action::Accept,
                source: IpAddr::from([172, 31, 16, 139]),
                destination: IpAddr::from([172, 31, 16, 22]),
                source_port: 20_641,
                destination_port: 22,
                protocol: 6,
            },
            tcp_flags: 2,
            packets: 20,
            bytes: 4249,
            first: Timestamp(1_418_530_010_400),
            last: Timestamp(1_418_530_070_900),
        });
        window
    }

    fn line(format: &str, direction: Direction) -> String {
        let window = window(direction);
        Format::parse(format).unwrap().line(&window.records(Traffic::All)[0], &window, &place())
    }

    #[test]
    fn the_default_format_is_aws_own() {
        assert_eq!(Format::default().text(), DEFAULT);
        assert_eq!(Format::parse(DEFAULT), Ok(Format::default()));
    }

    #[test]
    fn a_line_is_as_in_aws_example() {
        assert_eq!(
            line(DEFAULT, Direction::Ingress),
            "2 123456789012 eni-1 172.31.16.139 172.31.16.21 20641 22 6 20 4249 1418530010 1418530070 ACCEPT OK",
            "a secondary address is shown as the interface's primary one"
        );
    }

    #[test]
    fn the_packets_own_addresses_have_fields_of_their_own() {
        let format = "${version} ${srcaddr} ${pkt-srcaddr} ${dstaddr} ${pkt-dstaddr} ${flow-direction} ${tcp-flags} \
                      ${type} ${instance-id} ${region} ${az-id} ${vpc-id} ${subnet-id} ${sublocation-id}";
        assert_eq!(
            line(format, Direction::Egress),
            "5 172.31.16.21 172.31.16.139 172.31.16.22 172.31.16.22 egress 2 IPv4 - us-east-1 use1-az1 vpc-1 subnet-1 -"
        );
    }

    #[test]
    fn flows_of_ipv6_have_the_packets_addresses() {
        let mut window = Window::new(Timestamp(0), Duration::from_secs(60));
        let flow = Flow {
            direction: Direction::Egress,
            action: Action::Reject,
            source: "3fff:120::4".parse().unwrap(),
            destination: "3fff:120::5".parse().unwrap(),
            source_port: 0,
            destination_port: 0,
            protocol: 58,
        };
        let at = Timestamp(1_000);
        window.add(&Sighting { flow, tcp_flags: 0, packets: 1, bytes: 104, first: at, last: at });
        let format = Format::parse("${type} ${srcaddr} ${dstaddr} ${pkt-srcaddr} ${protocol} ${action}").unwrap();
        let line = format.line(&window.records(Traffic::All)[0], &window, &place());
        assert_eq!(line, "IPv6 3fff:120::4 3fff:120::5 3fff:120::4 58 REJECT");
    }

    #[test]
    fn an_interval_without_records_is_told_as_aws_tells_it() {
        let window = Window::new(Timestamp(1_431_280_876_000), Duration::from_secs(58));
        for (record, status) in [(Record::NoData, "NODATA"), (Record::SkipData, "SKIPDATA")] {
            assert_eq!(
                Format::default().line(&record, &window, &place()),
                format!("2 123456789012 eni-1 - - - - - - - 1431280876 1431280934 - {status}")
            );
        }
    }

    #[test]
    fn what_is_no_format_is_told_by_name() {
        assert_eq!(Format::parse(" "), Err(FormatError::Empty));
        for text in ["srcaddr", "${srcaddr", "${}", "${srcaddr}${dstaddr}", "${src addr}"] {
            assert!(matches!(Format::parse(text), Err(FormatError::Unknown(_))), "{text}");
        }
        assert_eq!(Format::parse("${version} ${traffic-path}"), Err(FormatError::NotHere("traffic-path")));
    }
}
