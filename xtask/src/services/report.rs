//! Where the instances are: for programs in `env.json`, for people as a table.

use std::path::Path;

use anyhow::{Context, Result};

use super::{Instance, Service};

/// `{"mariadb": "mysql://…", …}`, with the processes beside it; renamed into place, so nobody reads half of it.
pub fn write(folder: &Path, instances: &[Instance]) -> Result<()> {
    let unfinished = folder.join("env.json.new");
    std::fs::write(&unfinished, json(instances)).context("write env.json")?;
    std::fs::rename(&unfinished, folder.join("env.json")).context("write env.json")
}

fn json(instances: &[Instance]) -> String {
    let addresses = Service::ALL.into_iter().filter_map(|service| {
        let address = service.address(instances);
        (!address.is_empty()).then(|| format!("  \"{}\": \"{address}\"", service.name().replace('-', "_")))
    });
    let processes = instances.iter().map(|instance| {
        let (service, number, port, pid) = (instance.service.name(), instance.number, instance.port, instance.pid);
        format!("    {{\"service\": \"{service}\", \"number\": {number}, \"port\": {port}, \"pid\": {pid}}}")
    });
    let processes = format!("  \"processes\": [\n{}\n  ]", processes.collect::<Vec<_>>().join(",\n"));
    let members: Vec<String> = addresses.chain([processes]).collect();
    format!("{{\n{}\n}}\n", members.join(",\n"))
}

pub fn print(instances: &[Instance]) {
    if instances.is_empty() {
        println!("nothing is running; `cargo xtask services up` starts it");
        return;
    }
    for instance in instances {
        let state = if instance.answers() { "up" } else { "does not answer" };
        let address = instance.service.address(std::slice::from_ref(instance));
        println!("{:18} {state:16} process {:<8} {address}", instance.label(), instance.pid);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn instance(service: Service, number: u8, port: u16) -> Instance {
        Instance { service, number, port, pid: 7, folder: "/f".into() }
    }

    #[test]
    fn env_json_names_what_runs_only() {
        let json = json(&[instance(Service::Redis, 1, 1_000), instance(Service::Kafka, 1, 2_000), instance(Service::Kafka, 2, 2_001)]);
        assert!(json.contains("\"redis\": \"redis://127.0.0.1:1000\""), "{json}");
        assert!(json.contains("\"kafka\": \"127.0.0.1:2000,127.0.0.1:2001\""), "{json}");
        assert!(!json.contains("mariadb"), "{json}");
        assert!(json.contains("\"number\": 2, \"port\": 2001, \"pid\": 7"), "{json}");
    }
}
