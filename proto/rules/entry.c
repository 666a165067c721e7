#include "rules/entry.h"

#include "rules/json.h"

enum {
    TYPE_BYTES_MAX = 128,
    NAME_BYTES_MAX = 64, /* of an account and of a producer's id */
    SUBJECT_BYTES_MAX = 256,
    TRACEPARENT_BYTES_MAX = 128,
};

const char *hw_entry_reason_text(enum hw_entry_reason reason)
{
    switch (reason) {
#define X(name, text)                                                                         \
    case HW_ENTRY_##name:                                                                     \
        return text;
        HW_ENTRY_REASON_MAP(X)
#undef X
    case HW_ENTRY_GOOD:
    case HW_ENTRY_REASONS:
        break;
    }
    return "";
}

/* --- single values ---------------------------------------------------------------- */

static bool is_word_character(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           c == '_';
}

/* Identifiers with single dots between them. */
bool hw_entry_type_is_valid(struct hw_slice type)
{
    bool after_dot = true;

    if (type.len > TYPE_BYTES_MAX)
        return false;
    for (size_t i = 0; i < type.len; i++) {
        bool is_dot = type.data[i] == '.';
        if (is_dot ? after_dot : !is_word_character(type.data[i]))
            return false;
        after_dot = is_dot;
    }
    return !after_dot;
}

static bool is_name(struct hw_slice name)
{
    if (name.len < 1 || name.len > NAME_BYTES_MAX)
        return false;
    for (size_t i = 0; i < name.len; i++)
        if (!is_word_character(name.data[i]) && name.data[i] != '-')
            return false;
    return true;
}

bool hw_entry_account_is_valid(struct hw_slice account)
{
    return is_name(account);
}

bool hw_entry_id_is_valid(struct hw_slice id)
{
    return is_name(id);
}

bool hw_entry_subject_is_valid(struct hw_slice subject)
{
    if (subject.len < 1 || subject.len > SUBJECT_BYTES_MAX)
        return false;
    for (size_t i = 0; i < subject.len; i++)
        if (subject.data[i] < 0x20 || subject.data[i] > 0x7e)
            return false;
    return true;
}

static bool is_lower_hex(struct hw_slice text)
{
    for (size_t i = 0; i < text.len; i++)
        if (!(text.data[i] >= '0' && text.data[i] <= '9') &&
            !(text.data[i] >= 'a' && text.data[i] <= 'f'))
            return false;
    return true;
}

static bool is_all(struct hw_slice text, char c)
{
    for (size_t i = 0; i < text.len; i++)
        if (text.data[i] != c)
            return false;
    return true;
}

/* Fields that a version after 00 may have put behind ours. */
static bool is_traceparent_rest(struct hw_slice rest)
{
    for (size_t i = 0; i < rest.len; i++)
        if (rest.data[i] < 0x21 || rest.data[i] > 0x7e)
            return false;
    return rest.len == 0 || rest.data[0] == '-';
}

/* W3C Trace Context 3.2.2: version, trace-id, parent-id, trace-flags. */
bool hw_entry_traceparent_is_valid(struct hw_slice traceparent)
{
    enum { VERSION_00_BYTES = 55 };

    if (traceparent.len < VERSION_00_BYTES || traceparent.len > TRACEPARENT_BYTES_MAX)
        return false;
    struct hw_slice version = hw_slice(traceparent.data, 2);
    struct hw_slice trace = hw_slice(traceparent.data + 3, 32);
    struct hw_slice parent = hw_slice(traceparent.data + 36, 16);
    struct hw_slice flags = hw_slice(traceparent.data + 53, 2);
    if (traceparent.data[2] != '-' || traceparent.data[35] != '-' ||
        traceparent.data[52] != '-' || !is_lower_hex(version) || !is_lower_hex(trace) ||
        !is_lower_hex(parent) || !is_lower_hex(flags))
        return false;
    if (is_all(trace, '0') || is_all(parent, '0') || hw_slice_is(version, "ff"))
        return false;
    if (hw_slice_is(version, "00"))
        return traceparent.len == VERSION_00_BYTES;
    return is_traceparent_rest(hw_slice_from(traceparent, VERSION_00_BYTES));
}

/* --- the entry -------------------------------------------------------------------- */

enum field { TYPE, PAYLOAD, ACCOUNT, SUBJECT, ID, LEVEL, TIMESTAMP, TRACEPARENT, FIELDS };

static const struct hw_slice field_names[FIELDS] = {
    [TYPE] = { "type", 4 },
    [PAYLOAD] = { "payload", 7 },
    [ACCOUNT] = { "account", 7 },
    [SUBJECT] = { "subject", 7 },
    [ID] = { "id", 2 },
    [LEVEL] = { "level", 5 },
    [TIMESTAMP] = { "timestamp", 9 },
    [TRACEPARENT] = { "traceparent", 11 },
};

/* What was given, by field; a value's `data` is NULL where the field is absent. */
static bool collect(struct hw_slice given[FIELDS], const struct hw_entry_field *fields,
                    size_t n_fields)
{
    for (size_t i = 0; i < n_fields; i++)
        for (int f = 0; f < FIELDS; f++) {
            if (!hw_slice_eq(fields[i].name, field_names[f]))
                continue;
            if (given[f].data != NULL)
                return false;
            given[f] = fields[i].value;
            if (given[f].data == NULL)
                given[f].data = "";
        }
    return true;
}

static bool take_type(struct hw_entry *e, struct hw_slice type, bool engines_own)
{
    e->type = type;
    return hw_entry_type_is_valid(type) &&
           (engines_own || !hw_slice_starts(type, HW_SLICE("webhook.")));
}

static bool take_account(struct hw_entry *e, struct hw_slice account)
{
    e->account = account.data != NULL ? account : HW_SLICE("default");
    return hw_entry_account_is_valid(e->account);
}

static bool take_id(struct hw_entry *e, struct hw_slice id)
{
    e->has_producer_id = id.data != NULL;
    if (e->has_producer_id) {
        e->id = id;
        return hw_entry_id_is_valid(id);
    }
    hw_id_event(e->entry, e->id_text);
    e->id = hw_slice_str(e->id_text);
    return true;
}

static bool take_subject(struct hw_entry *e, struct hw_slice subject)
{
    e->subject = subject;
    return subject.data == NULL || hw_entry_subject_is_valid(subject);
}

static bool take_level(struct hw_entry *e, struct hw_slice level)
{
    e->level = hw_slice_is(level, "progress") ? HW_LEVEL_PROGRESS : HW_LEVEL_USER;
    return level.data == NULL || e->level == HW_LEVEL_PROGRESS || hw_slice_is(level, "user");
}

static bool take_timestamp(struct hw_entry *e, struct hw_slice timestamp)
{
    e->timestamp = timestamp;
    if (timestamp.data != NULL)
        return hw_timestamp_parse(&e->timestamp_ms, timestamp);
    /* An entry's id can lie in any future: a producer may name it itself. */
    e->timestamp_ms = e->entry.ms > INT64_MAX ? INT64_MAX : (hw_unix_ms)e->entry.ms;
    return true;
}

static void take_traceparent(struct hw_entry *e, struct hw_slice traceparent)
{
    if (hw_entry_traceparent_is_valid(traceparent))
        e->traceparent = traceparent;
}

static enum hw_entry_reason take_payload(struct hw_entry *e, struct hw_slice payload,
                                         size_t max_bytes)
{
    e->payload = payload;
    if (payload.len > max_bytes)
        return HW_ENTRY_TOO_LARGE;
    return hw_json_check(payload, HW_JSON_DEPTH_MAX);
}

enum hw_entry_reason hw_entry_check(struct hw_entry *e, struct hw_stream_id id,
                                    const struct hw_entry_field *fields, size_t n_fields,
                                    const struct hw_entry_limits *limits)
{
    struct hw_slice given[FIELDS] = { 0 };

    *e = (struct hw_entry){ .entry = id };
    if (!collect(given, fields, n_fields))
        return HW_ENTRY_DUPLICATE_FIELD;
    if (given[TYPE].data == NULL || given[PAYLOAD].data == NULL)
        return HW_ENTRY_MISSING_FIELD;
    if (!take_type(e, given[TYPE], limits->engines_own))
        return HW_ENTRY_BAD_TYPE;
    if (!take_account(e, given[ACCOUNT]))
        return HW_ENTRY_BAD_ACCOUNT;
    if (!take_id(e, given[ID]))
        return HW_ENTRY_BAD_ID;
    if (!take_subject(e, given[SUBJECT]))
        return HW_ENTRY_BAD_SUBJECT;
    if (!take_level(e, given[LEVEL]))
        return HW_ENTRY_BAD_LEVEL;
    if (!take_timestamp(e, given[TIMESTAMP]))
        return HW_ENTRY_BAD_TIMESTAMP;
    take_traceparent(e, given[TRACEPARENT]);
    return take_payload(e, given[PAYLOAD], limits->max_payload_bytes);
}

/* --- timestamps ------------------------------------------------------------------- */

enum { DAY_S = 86400 };

/* Days of the year before a month begins; March is 0, so that February's length matters to
 * nothing behind it. */
static int days_before_month(int months_from_march)
{
    return (153 * months_from_march + 2) / 5;
}

/* Days since 1970-01-01 in the Gregorian calendar, which RFC 3339 uses for every year;
 * from the year 0000 on. */
static int64_t days_from_date(int year, int month, int day)
{
    int64_t y = month <= 2 ? year - 1 : year; /* a year begins in March */
    int64_t leap_days = y < 0 ? -1 : y / 4 - y / 100 + y / 400;

    return y * 365 + leap_days + days_before_month((month + 9) % 12) + day - 1 - 719468;
}

static bool is_leap_year(int year)
{
    return year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
}

static int days_of_month(int year, int month)
{
    static const int days[] = { 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 };

    return days[month - 1] + (month == 2 && is_leap_year(year));
}

struct date {
    int year, month, day;
};

/* 400 years have 146097 days; the first guess is at most one year off. */
static struct date date_from_days(int64_t days)
{
    int year = (int)((days - days_from_date(0, 1, 1)) * 400 / 146097);

    if (days_from_date(year, 1, 1) > days)
        year--;
    else if (days_from_date(year + 1, 1, 1) <= days)
        year++;
    int left = (int)(days - days_from_date(year, 1, 1));
    int month = 1;
    while (left >= days_of_month(year, month))
        left -= days_of_month(year, month++);
    return (struct date){ year, month, left + 1 };
}

/* Exactly n digits off the front of *text, at most `max`; or -1. */
static int take_digits(struct hw_slice *text, size_t n, int max)
{
    uint64_t value;

    if (text->len < n || !hw_slice_u64(hw_slice(text->data, n), (uint64_t)max, &value))
        return -1;
    *text = hw_slice_from(*text, n);
    return (int)value;
}

static bool take_one_of(struct hw_slice *text, const char *characters, char *which)
{
    if (text->len == 0 || text->data[0] == '\0' || strchr(characters, text->data[0]) == NULL)
        return false;
    *which = text->data[0];
    *text = hw_slice_from(*text, 1);
    return true;
}

static bool take_date(struct hw_slice *text, struct date *d)
{
    char dash;

    d->year = take_digits(text, 4, 9999);
    if (d->year < 0 || !take_one_of(text, "-", &dash))
        return false;
    d->month = take_digits(text, 2, 12);
    if (d->month < 1 || !take_one_of(text, "-", &dash))
        return false;
    d->day = take_digits(text, 2, 31);
    return d->day >= 1 && d->day <= days_of_month(d->year, d->month);
}

/* "hh:mm" to minutes; or -1. */
static int take_hours_minutes(struct hw_slice *text)
{
    char colon;
    int hours = take_digits(text, 2, 23);

    if (hours < 0 || !take_one_of(text, ":", &colon))
        return -1;
    int minutes = take_digits(text, 2, 59);
    return minutes < 0 ? -1 : hours * 60 + minutes;
}

/* "" or ".123…" to milliseconds, what is finer cut off. */
static bool take_fraction(struct hw_slice *text, int *ms)
{
    int worth = 100;
    size_t n = 0;

    *ms = 0;
    if (text->len == 0 || text->data[0] != '.')
        return true;
    *text = hw_slice_from(*text, 1);
    for (; n < text->len && text->data[n] >= '0' && text->data[n] <= '9'; n++) {
        *ms += worth * (text->data[n] - '0');
        worth /= 10;
    }
    *text = hw_slice_from(*text, n);
    return n > 0;
}

/* "Z", "+hh:mm", "-hh:mm" to minutes east of UTC. */
static bool take_offset(struct hw_slice *text, int *minutes)
{
    char sign;

    *minutes = 0;
    if (!take_one_of(text, "Zz+-", &sign))
        return false;
    if (sign == 'Z' || sign == 'z')
        return true;
    int east = take_hours_minutes(text);
    *minutes = sign == '-' ? -east : east;
    return east >= 0;
}

/* Second 60 exists at the end of a month in UTC only.  RFC 3339 5.7 */
static bool is_leap_second(int64_t unix_s)
{
    if (unix_s % DAY_S != 0)
        return false;
    return date_from_days(unix_s / DAY_S).day == 1;
}

bool hw_timestamp_parse(hw_unix_ms *out, struct hw_slice text)
{
    struct date date;
    char separator;
    int ms, offset;

    if (!take_date(&text, &date) || !take_one_of(&text, "Tt", &separator))
        return false;
    int minutes = take_hours_minutes(&text);
    if (minutes < 0 || !take_one_of(&text, ":", &separator))
        return false;
    int seconds = take_digits(&text, 2, 60);
    if (seconds < 0 || !take_fraction(&text, &ms) || !take_offset(&text, &offset) ||
        text.len != 0)
        return false;
    int64_t unix_s = days_from_date(date.year, date.month, date.day) * DAY_S +
                     (minutes - offset) * 60 + seconds;
    if (unix_s < days_from_date(0, 1, 1) * DAY_S ||
        unix_s >= days_from_date(10000, 1, 1) * DAY_S)
        return false;
    if (seconds == 60 && !is_leap_second(unix_s))
        return false;
    *out = unix_s * 1000 + ms;
    return true;
}

static char *put_digits(char *out, int n, int value)
{
    for (int i = n - 1; i >= 0; i--) {
        out[i] = (char)('0' + value % 10);
        value /= 10;
    }
    return out + n;
}

void hw_timestamp_text(hw_unix_ms at, char out[HW_TIMESTAMP_MAX])
{
    hw_unix_ms first = days_from_date(0, 1, 1) * DAY_S * 1000;
    hw_unix_ms last = days_from_date(10000, 1, 1) * DAY_S * 1000 - 1;

    at = at < first ? first : at > last ? last : at;
    /* Counted from the first, which makes it positive and division round down. */
    int64_t day = (at - first) / (DAY_S * 1000);
    int ms = (int)((at - first) % (DAY_S * 1000));
    struct date date = date_from_days(day + days_from_date(0, 1, 1));
    out = put_digits(out, 4, date.year);
    *out++ = '-';
    out = put_digits(out, 2, date.month);
    *out++ = '-';
    out = put_digits(out, 2, date.day);
    *out++ = 'T';
    out = put_digits(out, 2, ms / 3600000);
    *out++ = ':';
    out = put_digits(out, 2, ms / 60000 % 60);
    *out++ = ':';
    out = put_digits(out, 2, ms / 1000 % 60);
    *out++ = '.';
    out = put_digits(out, 3, ms % 1000);
    *out++ = 'Z';
    *out = '\0';
}
