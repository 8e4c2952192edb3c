use super::*;

#[test]
fn what_an_answer_means() {
    for code in [200, 202, 204, 299] {
        let status = StatusCode::from_u16(code).expect("a status");
        assert!(judge(status, "whatever").is_ok(), "{code}");
    }
    for code in [400, 410, 413, 422] {
        let status = StatusCode::from_u16(code).expect("a status");
        let Err(Failure::Refused(why)) = judge(status, "bad start time") else {
            panic!("{code} refuses the message");
        };
        assert_eq!(why, format!("it answers {code}: bad start time"));
    }
    for (code, hint) in [
        (301, "redirects are not followed"),
        (308, "redirects are not followed"),
        (401, "`token_file`"),
        (403, "`token_file`"),
        (404, "`webhook`"),
        (408, "408"),
        (429, "429"),
        (500, "500"),
        (503, "503"),
        (999, "999"),
    ] {
        let status = StatusCode::from_u16(code).expect("a status");
        let Err(Failure::Later(why)) = judge(status, "") else {
            panic!("{code} is tried again");
        };
        assert!(why.contains(hint), "{why}");
    }
}
