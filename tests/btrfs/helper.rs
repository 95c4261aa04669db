//! What a missing helper does not prevent.

use crate::helpers::UsersStore;

#[test]
fn an_image_is_deleted_also_where_its_group_cannot_be() {
    let store = UsersStore::new();
    let (program, _) = store.fake(0o755);
    for (id, program) in [("x", program.to_str().unwrap()), ("y", "/no/such/drax")] {
        store.create(&[], id).success();
        let deleted = store.run(&["--log-level", "error", "--drax-bin", program, "delete", id]);
        assert_eq!(
            (deleted.code, deleted.stdout.as_str()),
            (Some(0), &*format!("Image {id} deleted\n")),
            "{deleted:?}"
        );
        assert!(deleted.stderr.contains("destroying-quota-groups-failed"), "{deleted:?}");
        assert!(deleted.stderr.contains("could not delete quota group"), "{deleted:?}");
    }
}
