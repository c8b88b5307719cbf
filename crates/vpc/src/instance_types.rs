//! The instance types that can be run: what each has of processors, memory, interfaces and addresses.
//! Source: EC2 instance types guide, "General purpose", "Compute optimized", "Memory optimized", and EC2 user guide, "IP
//! addresses per network interface per instance type".

/// A processor's architecture, in AWS's word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Architecture {
    /// `x86_64`.
    X86,
    /// `arm64`.
    Arm,
}

impl Architecture {
    /// AWS's word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::X86 => "x86_64",
            Self::Arm => "arm64",
        }
    }

    /// This machine's.
    pub fn here() -> Self {
        if cfg!(target_arch = "aarch64") { Self::Arm } else { Self::X86 }
    }
}

/// An instance type.
#[derive(Debug, Clone, PartialEq)]
pub struct InstanceType {
    /// `t3.medium`.
    pub name: String,
    /// Virtual processors.
    pub vcpus: u32,
    /// Memory in MiB.
    pub memory_mib: u64,
    /// How many network interfaces it may have.
    pub interfaces: usize,
    /// How many IPv4 addresses each of them may have, and as many of IPv6.
    pub addresses: usize,
    /// What all of its family have.
    pub family: &'static Family,
}

/// A family of instance types.
#[derive(Debug, PartialEq)]
pub struct Family {
    /// `t3`.
    pub name: &'static str,
    /// Its processors' architecture.
    pub architecture: Architecture,
    /// Who makes its processors.
    pub manufacturer: &'static str,
    /// Their clock in GHz.
    pub clock: f64,
    /// `nitro` or `xen`.
    pub hypervisor: &'static str,
    /// How many virtual processors a core is.
    pub threads: u32,
    /// Whether it saves up CPU credits.
    pub burstable: bool,
    sizes: &'static [Size],
    /// MiB for each virtual processor, for sizes that do not say.
    memory: u64,
}

/// A size: name, virtual processors, MiB (0: as the family says), interfaces, addresses of each.
type Size = (&'static str, u32, u64, usize, usize);

const T3: &[Size] = &[
    ("nano", 2, 512, 2, 2),
    ("micro", 2, 1024, 2, 2),
    ("small", 2, 2048, 3, 4),
    ("medium", 2, 4096, 3, 6),
    ("large", 2, 8192, 3, 12),
    ("xlarge", 4, 16_384, 4, 15),
    ("2xlarge", 8, 32_768, 4, 15),
];
const T3A: &[Size] = &[
    ("nano", 2, 512, 2, 2),
    ("micro", 2, 1024, 2, 2),
    ("small", 2, 2048, 2, 4),
    ("medium", 2, 4096, 3, 6),
    ("large", 2, 8192, 3, 12),
    ("xlarge", 4, 16_384, 4, 15),
    ("2xlarge", 8, 32_768, 4, 15),
];
const T2: &[Size] = &[
    ("nano", 1, 512, 2, 2),
    ("micro", 1, 1024, 2, 2),
    ("small", 1, 2048, 3, 4),
    ("medium", 2, 4096, 3, 6),
    ("large", 2, 8192, 3, 12),
    ("xlarge", 4, 16_384, 3, 15),
    ("2xlarge", 8, 32_768, 3, 15),
];
const LARGE: &[Size] = &[
    ("large", 2, 0, 3, 10),
    ("xlarge", 4, 0, 4, 15),
    ("2xlarge", 8, 0, 4, 15),
    ("4xlarge", 16, 0, 8, 30),
    ("8xlarge", 32, 0, 8, 30),
];
/// As [`LARGE`], of families whose sizes are of 9 where others' are of 8.
const NINE: &[Size] = &[
    ("large", 2, 0, 3, 10),
    ("xlarge", 4, 0, 4, 15),
    ("2xlarge", 8, 0, 4, 15),
    ("4xlarge", 16, 0, 8, 30),
    ("9xlarge", 36, 0, 8, 30),
];
const GRAVITON: &[Size] = &[
    ("medium", 1, 0, 2, 4),
    ("large", 2, 0, 3, 10),
    ("xlarge", 4, 0, 4, 15),
    ("2xlarge", 8, 0, 4, 15),
    ("4xlarge", 16, 0, 8, 30),
    ("8xlarge", 32, 0, 8, 30),
];

const fn x86(
    name: &'static str,
    manufacturer: &'static str,
    clock: f64,
    memory: u64,
    sizes: &'static [Size],
) -> Family {
    Family {
        name,
        architecture: Architecture::X86,
        manufacturer,
        clock,
        hypervisor: "nitro",
        threads: 2,
        burstable: false,
        sizes,
        memory,
    }
}

const fn arm(name: &'static str, clock: f64, memory: u64, sizes: &'static [Size]) -> Family {
    Family { architecture: Architecture::Arm, threads: 1, ..x86(name, "AWS", clock, memory, sizes) }
}

const GI: u64 = 1024;

static FAMILIES: [Family; 20] = [
    x86("c5", "Intel", 3.4, 2 * GI, NINE),
    x86("c5a", "AMD", 3.3, 2 * GI, LARGE),
    x86("c6a", "AMD", 3.6, 2 * GI, LARGE),
    arm("c6g", 2.5, 2 * GI, GRAVITON),
    x86("c6i", "Intel", 3.5, 2 * GI, LARGE),
    arm("c7g", 2.6, 2 * GI, GRAVITON),
    x86("m5", "Intel", 3.1, 4 * GI, LARGE),
    x86("m5a", "AMD", 2.5, 4 * GI, LARGE),
    x86("m6a", "AMD", 3.6, 4 * GI, LARGE),
    arm("m6g", 2.5, 4 * GI, GRAVITON),
    x86("m6i", "Intel", 3.5, 4 * GI, LARGE),
    arm("m7g", 2.6, 4 * GI, GRAVITON),
    x86("m7i", "Intel", 3.2, 4 * GI, LARGE),
    x86("r5", "Intel", 3.1, 8 * GI, LARGE),
    arm("r6g", 2.5, 8 * GI, GRAVITON),
    x86("r6i", "Intel", 3.5, 8 * GI, LARGE),
    Family { hypervisor: "xen", threads: 1, burstable: true, ..x86("t2", "Intel", 2.4, 4 * GI, T2) },
    Family { burstable: true, ..x86("t3", "Intel", 3.1, 4 * GI, T3) },
    Family { burstable: true, ..x86("t3a", "AMD", 2.2, 4 * GI, T3A) },
    Family { burstable: true, ..arm("t4g", 2.5, 4 * GI, T3) },
];

/// The type of that name.
pub fn find(name: &str) -> Option<InstanceType> {
    let (family, size) = name.split_once('.')?;
    let family = FAMILIES.iter().find(|known| known.name == family)?;
    family.sizes.iter().find(|(known, ..)| *known == size).map(|size| of(family, *size))
}

/// All types, by family.
pub fn all() -> impl Iterator<Item = InstanceType> {
    FAMILIES.iter().flat_map(|family| family.sizes.iter().map(|size| of(family, *size)))
}

fn of(family: &'static Family, (size, vcpus, memory, interfaces, addresses): Size) -> InstanceType {
    InstanceType {
        name: format!("{}.{size}", family.name),
        vcpus,
        memory_mib: if memory == 0 { u64::from(vcpus) * family.memory } else { memory },
        interfaces,
        addresses,
        family,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_have_what_awss_tables_say() {
        for (name, vcpus, memory, interfaces, addresses) in [
            ("t3.micro", 2, 1024, 2, 2),
            ("t3.medium", 2, 4096, 3, 6),
            ("m5.large", 2, 8192, 3, 10),
            ("c5.9xlarge", 36, 73_728, 8, 30),
            ("c6i.4xlarge", 16, 32_768, 8, 30),
            ("r5.xlarge", 4, 32_768, 4, 15),
            ("m6g.medium", 1, 4096, 2, 4),
        ] {
            let found = find(name).unwrap();
            let seen = (found.vcpus, found.memory_mib, found.interfaces, found.addresses);
            assert_eq!(seen, (vcpus, memory, interfaces, addresses), "{name}");
        }
        for bad in ["", "t3", "t3.", "t3.huge", "c5.8xlarge", ".medium"] {
            assert_eq!(find(bad), None, "{bad}");
        }
    }

    #[test]
    fn every_type_is_found_by_its_name() {
        assert!(all().all(|kind| find(&kind.name).as_ref() == Some(&kind)));
    }
}
