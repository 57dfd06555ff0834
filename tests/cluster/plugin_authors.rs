//! What an author does before there is a node: `weir plugins new` and `weir plugins test`.

use std::fs;
use std::path::Path;
use std::time::Duration;

use serde_json::Value;
use weir_tests::process::Weir;

use super::{text, weir};

/// A component of this repository.
macro_rules! component {
    ($path:literal) => {
        concat!(env!("CARGO_MANIFEST_DIR"), "/../", $path)
    };
}
const REQUIRE_JSON: &str = component!("plugins/require-json/require-json.wasm");
const REDACT: &str = component!("plugins/redact/redact.wasm");
const HASH: &str = component!("plugins/hash/hash.wasm");
const RANGE: &str = component!("plugins/range/range.wasm");
const HOSTILE: &str = component!("tests/guests/hostile-producer/hostile-producer.wasm");
const MIXED: &[u8] = b"{\"id\":\"x\",\"mag\":1}\nnot json\n{\"id\":\"y\"}\n{\"id\":\"z\",\"mag\":2}\n";

#[test]
fn a_new_project_is_there_once() {
    let folder = tempfile::tempdir().unwrap();
    let out = text(&folder.path().join("mask"));
    let new = ["plugins", "new", "mask", "--kind", "producer-interceptor", "--out", &out];
    weir().run(&new).ok();
    let manifest = fs::read_to_string(folder.path().join("mask/Cargo.toml")).unwrap();
    assert!(manifest.contains("name = \"mask\""), "{manifest}");
    assert!(folder.path().join("mask/weir-plugin/wit").is_dir(), "the SDK comes along");
    weir().run(&new).refused(&["is there already"]);
    weir()
        .run(&["plugins", "new", "Mask!", "--kind", "assignor", "--out", &out])
        .refused(&["a letter first"]);
}

/// As it is written, by itself: with its own manifest and the SDK's. Only the versions are those that are at hand here.
#[test]
fn new_projects_of_every_kind_build_and_their_tests_pass() {
    let folder = tempfile::tempdir().unwrap();
    let cargo = Weir::other_program(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
        .with("CARGO_TARGET_DIR", &format!("{}/new-projects", env!("CARGO_TARGET_TMPDIR")));
    for kind in ["producer-interceptor", "consumer-interceptor", "partitioner", "assignor"] {
        let project = folder.path().join(kind);
        let name = format!("my-{kind}");
        weir().run(&["plugins", "new", &name, "--kind", kind, "--out", &text(&project)]).ok();
        fs::copy(component!("Cargo.lock"), project.join("Cargo.lock")).unwrap();
        let tested = cargo.in_folder(&project).spawn(&["test", "--offline"]);
        let tested = tested.finish_within(Duration::from_secs(300)).ok();
        let shown = tested.text();
        let passed = shown.lines().filter(|line| line.starts_with("test ") && line.ends_with(" ... ok"));
        assert!(passed.count() > 0, "{tested}");
    }
}

#[test]
fn an_interceptor_is_tried_on_lines() {
    let tried = weir().run_with_input(
        &["plugins", "test", REQUIRE_JSON, "--option", "required=id,mag", "--output", "json"],
        MIXED,
    );
    let result = tried.ok().json();
    assert_eq!(
        (&result["kept"], &result["rejected"], &result["failed"], &result["pure"]),
        (&2.into(), &2.into(), &0.into(), &true.into()),
        "{result}"
    );
    let input = b"{\"key\":\"k\",\"value\":\"{\\\"name\\\":\\\"Ada\\\",\\\"id\\\":1}\",\"headers\":[{\"key\":\"h\",\"value\":\"v\"}]}\n";
    let flags = ["plugins", "test", REDACT, "--option", "remove=name", "--format", "json"];
    let shown = weir().run_with_input(&flags, input).ok().text();
    assert!(
        shown.contains(r#"by {"headers":[{"key":"h","value":"v"}],"key":"k","value":"{\"id\":1}"}"#),
        "{shown}"
    );
}

#[test]
fn a_partitioner_and_an_assignor_are_tried() {
    let keyed =
        weir().run_with_input(&["plugins", "test", HASH, "--key-field", "id", "--partitions", "1"], MIXED);
    let shown = keyed.ok().text();
    assert!(shown.contains("partition 0: 4 records"), "{shown}");
    let group =
        br#"{"topics": {"t": 5}, "members": [{"id": "a", "topics": ["t"]}, {"id": "b", "topics": ["t"]}]}"#;
    let shown = weir().run_with_input(&["plugins", "test", RANGE], group).ok().text();
    assert_eq!(shown, "a: t [0, 1, 2]\nb: t [3, 4]\n");
    weir().run_with_input(&["plugins", "test", RANGE], b"{}").refused(&["members"]);
}

/// What ships conforms to the kit of the examples, out of the program and out of the folder; another rule does not.
#[test]
fn a_kit_tells_the_same_plugin_from_another() {
    let tried = |file: &str, kit: &str| {
        weir().run(&["plugins", "test", file, "--kit", kit, "--show", "1", "--output", "json"])
    };
    for (file, own) in [
        (HASH, component!("plugins/hash/golden")),
        (REDACT, component!("plugins/redact/golden")),
        (RANGE, component!("examples/plugins/kit/assignor")),
    ] {
        for kit in ["builtin", component!("examples/plugins/kit"), own] {
            let result = tried(file, kit).ok().json();
            assert_eq!(result["conforms"], true, "{file} on {kit}: {result}");
        }
    }
    let other = tried(component!("plugins/murmur2/murmur2.wasm"), "builtin");
    let case = &other.json()["cases"][0];
    assert_eq!((other.status.code(), &case["pure"]), (Some(1), &true.into()), "{other}");
    assert!(case["different"].as_u64() > Some(10), "{other}");
    assert!(other.to_string().contains("hash, line 2: expected 10 \"\", got 9 \"\""), "{other}");

    let folder = tempfile::tempdir().unwrap();
    let kit = text(folder.path());
    tried(HASH, &kit).refused(&["has no case for a partitioner"]);
    fs::write(folder.path().join("mine.ndjson"), "{\"key\": \"a\"}\n").unwrap();
    tried(HASH, &kit).refused(&["no mine.out", "--write"]);
    weir().run(&["plugins", "test", HASH, "--kit", &kit, "--write"]).ok();
    assert_eq!(fs::read_to_string(folder.path().join("mine.out")).unwrap(), "1 \"a\"\n");
    tried(HASH, &kit).ok();
    fs::write(folder.path().join("mine.ndjson"), "{\"kay\": \"a\"}\n").unwrap();
    tried(HASH, &kit).refused(&["mine.ndjson, line 1: unknown field `kay`"]);
}

/// Every component that ships answers as its golden files say, run as WebAssembly; the tests of its crate run its source.
#[test]
fn what_ships_answers_as_its_golden_files_say() {
    let mut names: Vec<String> = fs::read_dir(component!("plugins"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|folder| folder.join("golden").is_dir())
        .map(|folder| text(folder.file_name().unwrap().as_ref()))
        .collect();
    names.sort();
    assert_eq!(
        names,
        ["filter", "hash", "murmur2", "range", "redact", "require-json", "roundrobin", "stamp", "sticky"]
    );
    for name in names {
        let folder = format!(component!("plugins/{}"), name);
        let (file, golden) = (format!("{folder}/{name}.wasm"), format!("{folder}/golden"));
        let folder_of_kit = tempfile::tempdir().unwrap();
        for entry in fs::read_dir(&golden).unwrap() {
            let path = entry.unwrap().path();
            // The harness leaves the facts of a node open; a trial has some.
            let content = fs::read_to_string(&path).unwrap();
            let content = content.replace("<principal>", "trial").replace("<entry-node>", "1");
            fs::write(folder_of_kit.path().join(path.file_name().unwrap()), content).unwrap();
        }
        if folder_of_kit.path().join("groups.ndjson").exists() {
            as_a_kit_has_groups(folder_of_kit.path());
        }
        let kit = text(folder_of_kit.path());
        let tried = weir().run(&["plugins", "test", &file, "--kit", &kit, "--output", "json"]);
        let result = tried.ok().json();
        assert_eq!(result["conforms"], true, "{name}: {result}");
        assert!(!result["cases"].as_array().unwrap().is_empty(), "{name}: {result}");
    }
}

/// Writes the groups of an assignor's crate as those of a kit, without those that say what a kit cannot: racks, options.
fn as_a_kit_has_groups(kit: &Path) {
    let [input, output] =
        ["groups.ndjson", "groups.out"].map(|name| fs::read_to_string(kit.join(name)).unwrap());
    let (mut groups, mut answers) = (String::new(), String::new());
    // Both have a comment before each group.
    for (input, output) in input.split("# ").zip(output.split("# ")).skip(1) {
        let (comment, group) = input.split_once('\n').unwrap();
        assert!(output.starts_with(comment), "{input}{output}");
        let group: Value = serde_json::from_str(group).unwrap();
        let known = ["topics", "members", "instances"];
        if group.as_object().unwrap().keys().any(|key| !known.contains(&key.as_str())) {
            continue;
        }
        let members = group["members"].as_object().unwrap().iter();
        let members: Vec<_> = members
            .map(|(id, topics)| {
                serde_json::json!({ "id": id, "topics": topics, "instance_id": group["instances"][id] })
            })
            .collect();
        let line = serde_json::json!({ "topics": group["topics"], "members": members });
        groups += &format!("# {comment}\n{line}\n");
        answers += &format!("# {output}");
    }
    assert!(groups.lines().count() >= 8, "{groups}");
    fs::write(kit.join("groups.ndjson"), groups).unwrap();
    fs::write(kit.join("groups.out"), answers).unwrap();
}

#[test]
fn a_hook_that_remembers_is_found_out() {
    let flags = ["plugins", "test", HOSTILE, "--option", "mode=changes-its-mind", "--batch-records", "1"];
    weir().run_with_input(&flags, MIXED).ok();
    let reused = weir().run_with_input(&[&flags[..], &["--reuse"]].concat(), MIXED);
    let shown = reused.text();
    assert_eq!(reused.status.code(), Some(1), "{reused}");
    assert!(shown.contains("NOT PURE: record 2 was dropped the first time and kept"), "{shown}");
}

#[test]
fn a_plugin_that_fails_fails_the_trial() {
    let tried = |mode: &str| {
        let option = format!("mode={mode}");
        weir().run_with_input(&["plugins", "test", HOSTILE, "--option", &option, "--output", "json"], MIXED)
    };
    for mode in ["loops", "traps", "grows", "answers-too-much"] {
        let finished = tried(mode);
        // A plugin that fails its first call is not bound at all.
        finished.refused(&["hostile-producer@trial"]);
    }
}

#[test]
fn what_is_no_plugin_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("text.wasm");
    fs::write(&path, "not a component").unwrap();
    weir().run_with_input(&["plugins", "test", &text(&path)], MIXED).refused(&["no WebAssembly"]);
    weir().run_with_input(&["plugins", "test", "/nowhere.wasm"], MIXED).refused(&["cannot read"]);
    weir().run_with_input(&["plugins", "test", REDACT], b"").refused(&["no records"]);
    weir()
        .run_with_input(&["plugins", "test", REDACT, "--limit", "memory=1"], MIXED)
        .refused(&["there is no limit 'memory'", "memory.bytes"]);
}
