use super::*;

#[test]
fn guests_in_the_tag_of_the_artist_come_into_the_title() {
    let title = |title: &str, artist: &str| {
        let tags = Tags { title: Some(title.into()), artist: Some(artist.into()), ..Tags::default() };
        tags.title_beside("Ana Lima").expect("there is a title")
    };
    for artist in [
        "Ana Lima feat. Bo Sun",
        "ana lima ft Bo Sun",
        "Ana  Lima (feat. Bo Sun)",
        "Ana Lima [Featuring Bo Sun]",
        "Ana Lima（ft.Bo Sun）",
        "\u{2068}Ana\u{200E} Lima\u{2069} feat. Bo Sun",
        "ANA LIMA, Ft. Bo Sun",
    ] {
        assert_eq!(title("Night Bus", artist), "Night Bus (feat. Bo Sun)", "{artist}");
    }
    for artist in [
        "Ana Lima",
        "Bo Sun",
        "Bo Sun feat. Ana Lima",
        "Ana Lima feat.",
        "feat. Bo Sun",
        "Defeat",
        "Ana Lima & Bo Sun",
        "Ana Lima (feat. Bo Sun) & Cy",
    ] {
        assert_eq!(title("Night Bus", artist), "Night Bus", "{artist}");
    }
    assert_eq!(title("Night Bus", "Ana Lima feat. Bo ft. Cy"), "Night Bus (feat. Bo & Cy)");
    for own in [
        "Night Bus (feat. Bo Sun)",
        "Night Bus ft. Bo",
        "Night Bus (feat.Bo Sun)",
        "Night Bus（ｆｅａｔ． Bo）",
        "Night Bus [FEATURING Bo]",
        "1999 ft. Bo",
    ] {
        assert_eq!(title(own, "Ana Lima feat. Bo Sun"), own);
    }
    let long = "x".repeat(TITLE_MAX_CHARS);
    assert_eq!(title(&long, "Ana Lima feat. Bo Sun"), long);
    assert_eq!(title("6 Ft. Under", "Ana Lima feat. Bo Sun"), "6 Ft. Under (feat. Bo Sun)");
    for artist in ["Little Feat", "Maroon 5", "Blink 182"] {
        let tags =
            Tags { title: Some("Night Bus".into()), artist: Some(format!("{artist} ft. Bo")), ..Tags::default() };
        assert_eq!(tags.title_beside(artist).as_deref(), Some("Night Bus (feat. Bo)"), "{artist}");
    }
    assert_eq!(Tags { artist: Some("Ana Lima feat. Bo".into()), ..Tags::default() }.title_beside("Ana Lima"), None);
}
