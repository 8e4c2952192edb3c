//! The Kubernetes manifests: valid, of one mind, and what they start protects. No cluster is at hand: a
//! pod is imitated as far as its capabilities, folders and settings go.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, ensure};
use lab::{Scratch, agent};
use serde_yaml_ng::Value;

use crate::{
    deb::run,
    system::lossy,
    tools::{python, repository},
};

/// The oldest and the newest whose schemas are at hand.
const VERSIONS: [&str; 2] = ["1.25.0", "1.37.0"];
/// The objects that Kubernetes itself knows.
const OBJECTS: [&str; 4] = ["namespace", "serviceaccount", "configmap", "daemonset"];

fn folder() -> PathBuf {
    repository().join("packaging/kubernetes")
}

pub(crate) fn manifest(name: &str) -> Result<Value> {
    let path = folder().join(name).with_extension("yaml");
    let text = fs::read_to_string(&path).with_context(|| format!("no {}", path.display()))?;
    serde_yaml_ng::from_str(&text).with_context(|| format!("{name} is no YAML"))
}

fn validate(file: &Path, version: &str) -> Result<Command> {
    let mut validate = python("kubernetes-validate")?;
    validate.args(["--strict", "--kubernetes-version", version]);
    validate.arg(file);
    Ok(validate)
}

#[test]
fn the_manifests_are_valid_by_the_schemas_of_kubernetes() -> Result<()> {
    for version in VERSIONS {
        for object in OBJECTS {
            let file = folder().join(object).with_extension("yaml");
            run(&mut validate(&file, version)?)?;
        }
    }
    let (scratch, text) = (
        Scratch::new()?,
        fs::read_to_string(folder().join("daemonset.yaml"))?,
    );
    let misspelt = scratch.join("daemonset.yaml");
    fs::write(&misspelt, text.replace("maxUnavailable", "maxUnavailabel"))?;
    assert!(run(&mut validate(&misspelt, VERSIONS[1])?).is_err());
    Ok(())
}

#[test]
fn the_pod_monitor_is_what_its_definition_says() -> Result<()> {
    let shipped = folder().join("podmonitor.yaml");
    let (scratch, text) = (Scratch::new()?, fs::read_to_string(&shipped)?);
    // All in one go: reading the definition takes seconds.
    let mut check = python("python")?;
    check.arg(repository().join("tests/tests/package/pod_monitor.py"));
    check.arg(&shipped);
    let wrong = [
        ("interval: 15s", "interval: often"),
        ("path: /metrics", "pathh: /metrics"),
        ("  selector:", "  selectors:"),
    ];
    for (number, (right, wrong)) in wrong.iter().enumerate() {
        let file = scratch.join(&number.to_string());
        assert!(text.contains(right), "{right}");
        fs::write(&file, text.replace(right, wrong))?;
        check.arg(file);
    }
    let output = check.output()?;
    let (printed, said) = (lossy(&output.stdout), lossy(&output.stderr));
    let complaints = |file: &Path| printed.contains(&format!("{}: ", file.display()));
    assert!(!complaints(&shipped), "{printed}");
    for (number, (_, wrong)) in wrong.iter().enumerate() {
        let file = scratch.join(&number.to_string());
        assert!(complaints(&file), "{wrong} is taken: {printed}{said}");
    }
    Ok(())
}

#[test]
fn the_manifests_agree_with_each_other() -> Result<()> {
    let (set, monitor) = (manifest("daemonset")?, manifest("podmonitor")?);
    let template = &set["spec"]["template"];
    let labels = &template["metadata"]["labels"];
    assert_eq!(&set["spec"]["selector"]["matchLabels"], labels);
    assert_eq!(&monitor["spec"]["selector"]["matchLabels"], labels);
    let pod = &template["spec"];
    let ports = &pod["containers"][0]["ports"];
    let scraped = &monitor["spec"]["podMetricsEndpoints"][0]["port"];
    assert_eq!(&ports[0]["name"], scraped);
    // On the host's network they are one.
    assert_eq!(ports[0]["hostPort"], ports[0]["containerPort"]);

    let account = manifest("serviceaccount")?;
    assert_eq!(pod["serviceAccountName"], account["metadata"]["name"]);
    let config = manifest("configmap")?;
    assert_eq!(
        pod["volumes"][0]["configMap"]["name"],
        config["metadata"]["name"]
    );
    let space = manifest("namespace")?;
    for object in [&set, &monitor, &account, &config] {
        assert_eq!(object["metadata"]["namespace"], space["metadata"]["name"]);
    }
    Ok(())
}

#[test]
fn each_folder_that_is_mounted_is_one_of_the_pods() -> Result<()> {
    let set = manifest("daemonset")?;
    let pod = &set["spec"]["template"]["spec"];
    let names = |list: &Value| -> Result<BTreeSet<String>> {
        let entries = list.as_sequence().context("no list")?;
        let names = entries.iter().filter_map(|entry| entry["name"].as_str());
        Ok(names.map(str::to_owned).collect())
    };
    let volumes = names(&pod["volumes"])?;
    assert_eq!(names(&pod["containers"][0]["volumeMounts"])?, volumes);
    let first = names(&pod["initContainers"][0]["volumeMounts"])?;
    assert!(first.is_subset(&volumes), "{first:?}");
    Ok(())
}

#[test]
fn kustomize_names_every_manifest() -> Result<()> {
    let kustomization = manifest("kustomization")?;
    let resources = kustomization["resources"].as_sequence();
    let resources = resources.context("no resources")?.iter();
    let named: BTreeSet<_> = resources
        .filter_map(|name| Some(name.as_str()?.to_owned()))
        .collect();
    let files = fs::read_dir(folder())?.flatten();
    let mut there: BTreeSet<_> = files
        .filter_map(|file| file.file_name().into_string().ok())
        .collect();
    ensure!(there.remove("kustomization.yaml"), "no kustomization");
    assert_eq!(named, there);
    // What it puts in the place of the image's name has to find it.
    let set = manifest("daemonset")?;
    let pod = &set["spec"]["template"]["spec"];
    for container in [&pod["initContainers"][0], &pod["containers"][0]] {
        let image = container["image"].as_str().context("no image")?;
        let version = format!("guard:{}", env!("CARGO_PKG_VERSION"));
        assert_eq!(image, version);
    }
    assert_eq!(kustomization["images"][0]["name"], "guard");
    Ok(())
}

/// The configuration inside of the ConfigMap.
pub(crate) fn configuration() -> Result<String> {
    let map = manifest("configmap")?;
    let text = map["data"]["guard.toml"].as_str();
    Ok(text.context("no guard.toml in the ConfigMap")?.to_owned())
}

#[test]
fn the_configuration_in_the_config_map_is_valid() -> Result<()> {
    let scratch = Scratch::new()?;
    let file = scratch.join("guard.toml");
    fs::write(&file, configuration()?)?;
    let mut check = agent::command(&["check", "--config"])?;
    let printed = run(check.arg(file))?;
    assert!(printed.contains("1 interface"), "{printed}");
    Ok(())
}
