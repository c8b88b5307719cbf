//! What a Fargate task may ask for. Source: API reference, `RegisterTaskDefinition` (`cpu`, `memory`); developer guide,
//! "Troubleshoot Amazon ECS task definition invalid CPU or memory errors".

/// CPU units and MiB that a task definition asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Size {
    /// 1024 units are a vCPU.
    pub cpu: u32,
    /// MiB.
    pub memory: u32,
}

/// Why a size is refused. `Display` is AWS's text (a `ClientException`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SizeError {
    /// Not a number of units or vCPUs.
    InvalidCpu,
    /// Not a number of MiB or GB.
    InvalidMemory,
    /// Fargate wants `cpu` on the task.
    CpuMissing,
    /// Fargate wants `memory` on the task.
    MemoryMissing,
    /// Both are fine, together they are not in the table.
    NoConfiguration,
}

impl std::fmt::Display for SizeError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::InvalidCpu => "Invalid 'cpu' setting for task.",
            Self::InvalidMemory => "Invalid 'memory' setting for task.",
            Self::CpuMissing => "Fargate requires that 'cpu' be defined at the task level.",
            Self::MemoryMissing => "Fargate requires that 'memory' be defined at the task level.",
            Self::NoConfiguration => "No Fargate configuration exists for given values.",
        })
    }
}

impl std::error::Error for SizeError {}

/// (CPU units, least MiB, most MiB, step). 256 is irregular: 512, 1024, 2048.
const TABLE: [(u32, u32, u32, u32); 7] = [
    (256, 512, 2048, 512),
    (512, 1024, 4096, 1024),
    (1024, 2048, 8192, 1024),
    (2048, 4096, 16384, 1024),
    (4096, 8192, 30720, 1024),
    (8192, 16384, 61440, 4096),
    (16384, 32768, 122_880, 8192),
];

/// The size of a Fargate task, from the text that a task definition holds.
pub fn size(cpu: Option<&str>, memory: Option<&str>) -> Result<Size, SizeError> {
    let cpu = parse_cpu(cpu.ok_or(SizeError::CpuMissing)?)?;
    let memory = parse_memory(memory.ok_or(SizeError::MemoryMissing)?)?;
    let size = Size { cpu, memory };
    if is_offered(size) { Ok(size) } else { Err(SizeError::NoConfiguration) }
}

/// Whether Fargate has this configuration.
pub fn is_offered(size: Size) -> bool {
    TABLE.iter().any(|&(cpu, least, most, step)| {
        let irregular_gap = cpu == 256 && size.memory == 1536;
        cpu == size.cpu && (least..=most).contains(&size.memory) && size.memory.is_multiple_of(step) && !irregular_gap
    })
}

/// CPU units from `"256"`, `"1 vCPU"` or `".5 vcpu"`.
pub fn parse_cpu(text: &str) -> Result<u32, SizeError> {
    quantity(text, "vcpu").ok_or(SizeError::InvalidCpu)
}

/// MiB from `"512"`, `"1GB"` or `"0.5 GB"`.
pub fn parse_memory(text: &str) -> Result<u32, SizeError> {
    quantity(text, "gb").ok_or(SizeError::InvalidMemory)
}

/// A plain count, or a decimal number of `unit`s of 1024. Integer arithmetic alone: `.1` of 1024 must not depend on a
/// float's rounding.
fn quantity(text: &str, unit: &str) -> Option<u32> {
    let text = text.trim().to_ascii_lowercase();
    let Some(number) = text.strip_suffix(unit).map(str::trim_end) else {
        let digits = !text.is_empty() && text.len() <= 9 && text.bytes().all(|b| b.is_ascii_digit());
        return digits.then(|| text.parse().ok()).flatten().filter(|n| *n > 0);
    };
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let digits = |s: &str| s.len() <= 6 && s.bytes().all(|b| b.is_ascii_digit());
    if whole.is_empty() && fraction.is_empty() || !digits(whole) || !digits(fraction) {
        return None;
    }
    let scale = 10u64.pow(fraction.len() as u32);
    let value = format!("{whole}{fraction}").parse::<u64>().ok()? * 1024 / scale;
    u32::try_from(value).ok().filter(|n| *n > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_of_the_reference_is_offered_and_nothing_else() {
        for (cpu, memory) in [(256, 512), (256, 2048), (512, 4096), (4096, 30720), (8192, 20480), (16384, 122_880)] {
            assert!(is_offered(Size { cpu, memory }), "{cpu}/{memory} is in AWS's table");
        }
        for (cpu, memory) in [(256, 1536), (256, 4096), (300, 512), (8192, 17408), (4096, 31744), (32768, 65536)] {
            assert!(!is_offered(Size { cpu, memory }), "{cpu}/{memory} is not in AWS's table");
        }
        let rows = (0..=131_072u32).step_by(256).flat_map(|memory| TABLE.map(|(cpu, ..)| Size { cpu, memory }));
        assert_eq!(rows.filter(|size| is_offered(*size)).count(), 3 + 4 + 7 + 13 + 23 + 12 + 12);
    }

    #[test]
    fn units_may_be_spelled() {
        assert_eq!(parse_cpu(".25 vCPU"), Ok(256));
        assert_eq!(parse_cpu("1vcpu"), Ok(1024));
        assert_eq!(parse_memory("0.5GB"), Ok(512));
        assert_eq!(parse_memory("1 GB"), Ok(1024));
        for bad in ["", "vcpu", ".vcpu", "1 2", "-1", "0", "1e3", "99999999999", "1.2.3vcpu", "٣"] {
            assert_eq!(parse_cpu(bad), Err(SizeError::InvalidCpu), "{bad:?}");
        }
    }

    #[test]
    fn what_lacks_is_named_first() {
        assert_eq!(size(None, Some("512")), Err(SizeError::CpuMissing));
        assert_eq!(size(Some("256"), None), Err(SizeError::MemoryMissing));
        assert_eq!(
            size(Some("256"), Some("4096")).unwrap_err().to_string(),
            "No Fargate configuration exists for given values."
        );
    }
}
