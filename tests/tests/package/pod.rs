//! A pod, imitated: what the DaemonSet starts, with its users, capabilities, settings and folders, on a
//! root that cannot be written to. What kubelet and the container's runtime do is done here by hand.

use std::{fs, process::Command, time::Duration};

use anyhow::{Context as _, Result};
use lab::{
    agent, command,
    counters::SourceCounter,
    flood::Flood,
    http,
    process::Server,
    stage::{INTERFACE, NOBODY, SERVER, Stage},
};
use serde_yaml_ng::Value;

use crate::{
    kubernetes::{configuration, manifest},
    system::System,
    tools::repository,
};

const PATIENCE: Duration = Duration::from_mins(1);

#[test]
fn what_the_daemonset_starts_protects() -> Result<()> {
    let stage = Stage::new()?;
    let system = System::start(stage.host())?;
    install(&system)?;
    configure(&system)?;
    let daemons = manifest("daemonset")?;
    let pod = &daemons["spec"]["template"]["spec"];
    mount(&system, pod)?;
    system.shell("mount -o remount,bind,ro /")?;

    let first = &pod["initContainers"][0];
    let mut folders = contained(&system, first)?;
    command::output(folders.args(words(&first["command"])?))?;
    let container = &pod["containers"][0];
    let mut guard = contained(&system, container)?;
    guard.arg("env").args(settings(container)?);
    guard.arg("/usr/bin/guard").args(words(&container["args"])?);
    let mut guard = system.serve(guard, "pod.log")?;
    wait_until_ready(&mut guard, container)?;
    assert!(stage.server.xdp()?.is_some(), "{}", guard.printed());
    let pins = system.shell("find /sys/fs/bpf/guard -name PORTS")?;
    assert!(
        pins.ends_with("/PORTS\n"),
        "none where the node has them: {pins}"
    );

    let arrived = SourceCounter::attach(&stage.server)?;
    let frame = stage.packet(NOBODY.into()).udp(4000, 9).build();
    let sent = Flood::new(frame, 10_000).run(&stage.client)?.frames;
    let passed = arrived.received()?.get(&NOBODY).copied().unwrap_or(0);
    assert_eq!(passed, 0, "of {sent} denied packets came through");
    Ok(())
}

/// The binary with the capabilities that the Containerfile gives it.
fn install(system: &System) -> Result<()> {
    system.bring(&agent::binary()?, "/usr/bin/guard")?;
    let recipe = fs::read_to_string(repository().join("packaging/container/Containerfile"))?;
    let granted = recipe.split("setcap ").nth(1).context("no capabilities")?;
    let granted = granted.split_whitespace().next().unwrap_or_default();
    let mut setcap = Command::new("setcap");
    command::output(setcap.arg(granted).arg(system.path("/usr/bin/guard")))?;
    Ok(())
}

/// The ConfigMap's, by an operator who lets it drop, and denies whom the packets come from.
fn configure(system: &System) -> Result<()> {
    let shipped = configuration()?;
    assert!(shipped.contains(&format!("interfaces = [\"{INTERFACE}\"]")));
    let text = shipped.replace("dry_run = true", "dry_run = false");
    assert_ne!(text, shipped);
    fs::create_dir(system.path("/etc/guard"))?;
    let denied = format!("[[deny]]\ncidr = \"{NOBODY}/32\"\n");
    fs::write(system.path("/etc/guard/guard.toml"), text + &denied)?;
    Ok(())
}

/// The pod's volumes, where it wants them. The node's folders are made by root, open to all, as kubelet
/// does.
fn mount(system: &System, pod: &Value) -> Result<()> {
    let mounts = pod["containers"][0]["volumeMounts"].as_sequence();
    for mount in mounts.context("no mounts")? {
        let volumes = pod["volumes"].as_sequence().context("no volumes")?;
        let volume = volumes
            .iter()
            .find(|volume| volume["name"] == mount["name"]);
        let volume = volume.context("a mount of no volume")?;
        let place = mount["mountPath"].as_str().context("no place")?;
        if let Some(path) = volume["hostPath"]["path"].as_str() {
            system.shell(&format!(
                "mkdir -p {path} {place} && mount --bind {path} {place}"
            ))?;
        } else if volume.get("emptyDir").is_some() {
            system.shell(&format!(
                "mkdir -p {place} && mount -t tmpfs -o mode=0777 none {place}"
            ))?;
        }
    }
    Ok(())
}

/// A command with the user and the capabilities of a container: those of root in it, or, for another,
/// none but what its file grants.
fn contained(system: &System, container: &Value) -> Result<Command> {
    let context = &container["securityContext"];
    let number = |key: &str| context[key].as_u64().with_context(|| format!("no {key}"));
    let added = words(&context["capabilities"]["add"])?;
    let added: Vec<_> = added
        .iter()
        .map(|name| format!("+{}", name.to_lowercase()))
        .collect();
    let mut command = system.command("setpriv");
    command.arg(format!("--reuid={}", number("runAsUser")?));
    command.arg(format!("--regid={}", number("runAsGroup")?));
    command.args(["--clear-groups", "--inh-caps=-all"]);
    command.arg(format!("--bounding-set=-all,{}", added.join(",")));
    let may_escalate = context["allowPrivilegeEscalation"].as_bool();
    if may_escalate == Some(false) {
        command.arg("--no-new-privs");
    }
    command.arg("--");
    Ok(command)
}

/// The container's environment, with what the node says of itself filled in.
fn settings(container: &Value) -> Result<Vec<String>> {
    let variables = container["env"].as_sequence().context("no environment")?;
    let pairs = variables.iter().filter_map(|variable| {
        let (name, value) = (variable["name"].as_str()?, variable["value"].as_str()?);
        let value = value.replace("$(HOST_IP)", &SERVER.to_string());
        Some(format!("{name}={value}"))
    });
    Ok(pairs.collect())
}

/// Asks as the probe does, at the node's address.
fn wait_until_ready(guard: &mut Server, container: &Value) -> Result<()> {
    let port = container["ports"][0]["containerPort"].as_u64();
    let address = (SERVER, u16::try_from(port.context("no port")?)?).into();
    let path = container["readinessProbe"]["httpGet"]["path"].as_str();
    let path = path.context("no path")?;
    guard.wait_until(PATIENCE, |guard| {
        http::get(guard.namespace(), address, path).is_ok_and(|answer| answer.status == 200)
    })
}

fn words(list: &Value) -> Result<Vec<String>> {
    let entries = list.as_sequence().context("no list")?.iter();
    Ok(entries
        .filter_map(|word| Some(word.as_str()?.to_owned()))
        .collect())
}
