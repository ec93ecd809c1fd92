ARRAY[1,4,3] @> ARRAY[3,1,3]
ARRAY[2,2,7] <@ ARRAY[1,7,4,2,6]
ARRAY[1,4,3] && ARRAY[2,1]
ARRAY[1,2,3] || ARRAY[4,5,6,7]
3 || ARRAY[4,5,6]
ARRAY[4,5,6] || 7
array_append(ARRAY[1,2], 3)
array_cat(ARRAY[1,2,3], ARRAY[4,5])
array_length(array[1,2,3], 1)
array_length(array[]::int[], 1)
array_length(array['text'], 2)
array_position(ARRAY['sun', 'mon', 'tue', 'wed', 'thu', 'fri', 'sat'], 'mon')
array_positions(ARRAY['A','A','B','A'], 'A')
array_prepend(1, ARRAY[2,3])
array_remove(ARRAY[1,2,3,2], 2)
array_replace(ARRAY[1,2,5,4], 5, 3)
array_to_string(ARRAY[1, 2, 3, NULL, 5], ',', '*')
array_upper(ARRAY[1,8,3,7], 1)
trim_array(ARRAY[1,2,3,4,5,6], 2)
unnest(ARRAY[1,2])
'\x123456'::bytea || '\x789a00bcde'::bytea
bit_length('\x123456'::bytea)
octet_length('\x123456'::bytea)
position('\x5678'::bytea in '\x1234567890'::bytea)
length('\x1234567890'::bytea)
md5('Th\000omas'::bytea)
sha256('abc'::bytea)
B'10001' || B'011'
B'10001' & B'01101'
B'10001' | B'01101'
B'10001' # B'01101'
~ B'10001'
B'10001' >> 2
bit_length(B'10111')
X'1F', x'0a', X'ff'::bit(4), X'0F'::int, length(X'0F'), X'0F' || B'1', X'0A' = B'00001010'
length(B'10111')
2 BETWEEN 3 AND 1
2 NOT BETWEEN 1 AND 3
2 BETWEEN SYMMETRIC 3 AND 1
2 NOT BETWEEN SYMMETRIC 3 AND 1
1 IS DISTINCT FROM NULL
NULL IS DISTINCT FROM NULL
1 IS NOT DISTINCT FROM NULL
NULL IS NOT DISTINCT FROM NULL
1.5 IS NULL
'null' IS NOT NULL
true IS TRUE
NULL::boolean IS TRUE
true IS NOT TRUE
NULL::boolean IS NOT TRUE
true IS FALSE
NULL::boolean IS FALSE
true IS NOT FALSE
NULL::boolean IS NOT FALSE
true IS UNKNOWN
NULL::boolean IS UNKNOWN
true IS NOT UNKNOWN
NULL::boolean IS NOT UNKNOWN
date '2001-09-28' + 7
date '2001-09-28' + interval '1 hour'
date '2001-09-28' + time '03:00'
interval '1 day' + interval '1 hour'
timestamp '2001-09-28 01:00' + interval '23 hours'
time '01:00' + interval '3 hours'
- interval '23 hours'
date '2001-10-01' - date '2001-09-28'
date '2001-10-01' - 7
date '2001-09-28' - interval '1 hour'
time '05:00' - interval '2 hours'
timestamp '2001-09-28 23:00' - interval '23 hours'
interval '1 day' - interval '1 hour'
timestamp '2001-09-29 03:00' - timestamp '2001-07-27 12:00'
interval '1 second' * 900
interval '1 day' * 21
interval '1 hour' * 3.5
interval '1 hour' / 1.5
date_part('hour', timestamp '2001-02-16 20:38:40')
date_part('month', interval '2 years 3 months')
date_trunc('hour', timestamp '2001-02-16 20:38:40')
date_trunc('hour', interval '2 days 3 hours 40 minutes')
extract(hour from timestamp '2001-02-16 20:38:40')
extract(month from interval '2 years 3 months')
isfinite(date '2001-02-16')
isfinite(timestamp 'infinity')
make_date(2013, 7, 15)
make_time(8, 15, 23.5)
make_timestamp(2013, 7, 15, 8, 15, 23.5)
to_timestamp(1284352323)
timestamp '2001-02-16 20:38:40' at time zone 'America/Denver'
timestamp with time zone '2001-02-16 20:38:40-05' at time zone 'America/Denver'
time with time zone '05:34:17-05' at time zone 'UTC'
to_char(timestamp '2002-04-20 17:31:12.66', 'HH12:MI:SS')
'[{"a":"foo"},{"b":"bar"},{"c":"baz"}]'::json -> 2
'[{"a":"foo"},{"b":"bar"},{"c":"baz"}]'::json -> -3
'{"a": {"b":"foo"}}'::json -> 'a'
'[1,2,3]'::json ->> 2
'{"a":1,"b":2}'::json ->> 'b'
'{"a": {"b": ["foo","bar"]}}'::json #> '{a,b,1}'
'{"a": {"b": ["foo","bar"]}}'::json #>> '{a,b,1}'
'{"a":1, "b":2}'::jsonb @> '{"b":2}'::jsonb
'{"b":2}'::jsonb <@ '{"a":1, "b":2}'::jsonb
'{"a":1, "b":2}'::jsonb ? 'b'
'["a", "b", "c"]'::jsonb ? 'b'
'{"a":1, "b":2, "c":3}'::jsonb ?| array['b', 'd']
'["a", "b", "c"]'::jsonb ?& array['a', 'b']
'["a", "b"]'::jsonb || '["a", "d"]'::jsonb
'{"a": "b"}'::jsonb || '{"c": "d"}'::jsonb
'[1, 2]'::jsonb || '3'::jsonb
'{"a": "b"}'::jsonb || '42'::jsonb
'[1, 2]'::jsonb || jsonb_build_array('[3, 4]'::jsonb)
'{"a": "b", "c": "d"}'::jsonb - 'a'
'["a", "b", "c", "b"]'::jsonb - 'b'
'{"a": "b", "c": "d"}'::jsonb - '{a,c}'::text[]
'["a", "b"]'::jsonb - 1
'["a", {"b":1}]'::jsonb #- '{1,b}'
to_json('Fred said "Hi."'::text)
json_build_array(1, 2, 'foo', 4, 5)
json_array_length('[1,2,3,{"f1":1,"f2":[5,6]},4]')
jsonb_array_length('[]')
json_extract_path('{"f2":{"f3":1},"f4":{"f5":99,"f6":"foo"}}', 'f4', 'f6')
json_extract_path_text('{"f2":{"f3":1},"f4":{"f5":99,"f6":"foo"}}', 'f4', 'f6')
jsonb_set('[{"f1":1,"f2":null},2,null,3]', '{0,f1}', '[2,3,4]', false)
jsonb_set('[{"f1":1,"f2":null},2]', '{0,f3}', '[2,3,4]')
json_typeof('-123.4')
json_typeof('null'::json)
json_typeof(NULL::json) IS NULL
'thomas' ~ 't.*ma'
'thomas' ~* 'T.*ma'
'thomas' !~ 't.*max'
'thomas' !~* 'T.*ma'
2 + 3
+ 3.5
2 - 3
- (-4)
2 * 3
5.0 / 2
5 / 2
(-5) / 2
5 % 4
2 ^ 3
2 ^ 3 ^ 3
2 ^ (3 ^ 3)
|/ 25.0
||/ 64.0
91 & 15
32 | 3
17 # 5
~1
1 << 4
8 >> 2
abs(-17.4)
cbrt(64.0)
ceil(42.2)
ceil(-42.8)
ceiling(95.3)
degrees(0.5)
div(9, 4)
exp(1.0)
factorial(5)
floor(42.8)
floor(-42.8)
gcd(1071, 462)
lcm(1071, 462)
ln(2.0)
log(100)
log10(1000)
log(2.0, 64.0)
mod(9, 4)
pi()
power(9, 3)
radians(45.0)
round(42.4)
round(42.4382, 2)
round(1234.56, -1)
sign(-8.4)
sqrt(2)
trunc(42.8)
trunc(-42.8)
trunc(42.4382, 2)
width_bucket(9, 10, 0, 10)
asin(1)
atan(1)
atan2(1, 0)
cos(0)
cot(0.5)
sin(1)
tan(1)
sinh(1)
cosh(0)
tanh(1)
asinh(1)
acosh(1)
atanh(0.5)
'Post' || 'greSQL'
'Value: ' || 42
bit_length('jose')
char_length('josé')
lower('TOM')
octet_length('josé')
octet_length('abc '::character(4))
overlay('Txxxxas' placing 'hom' from 2 for 4)
position('om' in 'Thomas')
substring('Thomas' from 2 for 3)
substring('Thomas' from 3)
substring('Thomas' for 2)
trim(both 'xyz' from 'yxTomxx')
upper('tom')
'alphabet' ^@ 'alph'
ascii('x')
btrim('xyxtrimyyx', 'xyz')
chr(65)
concat('abcde', 2, NULL, 22)
concat_ws(',', 'abcde', 2, NULL, 22)
initcap('hi THOMAS')
left('abcde', 2)
length('jose')
lpad('hi', 5, 'xy')
ltrim('zzzytest', 'xyz')
md5('abc')
quote_literal(E'O\'Reilly')
quote_literal(42.5)
regexp_like('Hello World', 'world$', 'i')
regexp_replace('Thomas', '.[mN]a.', 'M')
regexp_split_to_array('hello world', '\s+')
regexp_split_to_table('hello world', '\s+')
repeat('Pg', 4)
replace('abcdefabcdef', 'cd', 'XX')
reverse('abcde')
right('abcde', 2)
rpad('hi', 5, 'xy')
rtrim('testxxzx', 'xyz')
split_part('abc~@~def~@~ghi', '~@~', 2)
split_part('abc,def,ghi,jkl', ',', -2)
starts_with('alphabet', 'alph')
strpos('high', 'ig')
substr('alphabet', 3)
substr('alphabet', 3, 2)
to_hex(2147483647)
translate('12345', '143', 'ax')
age(timestamp '2001-04-10', timestamp '1957-06-13')
interval '-36 hours'
interval '1 year -3 days'
NULL::interval
max(i) FROM (VALUES (interval '1 year 2 months'), (interval '45 days')) AS q(i)
width_bucket(5.35, 0.024, 10.06, 5)
width_bucket(0.29, 0, 1, 100)
width_bucket(10, 10, 0, 10)
width_bucket(3.3::float8, 1.1, 5.5, 4)
octet_length(B'10110')
quote_literal('O''Re\x')
array_positions(ARRAY['A','A','B',NULL], NULL)
array_replace(ARRAY[1,2,NULL,2], 2, 9)
array_upper(ARRAY[1,2], 1)
array_lower('{}'::int[], 1)
trim_array(ARRAY[1,2,3], 2)
overlay('Txxxxas' placing 'hom' from 2)
overlay('abc' placing 'x' from 3 for -1)
overlay('abc' placing 'x' from 9 for 2)
repeat('x', -1)
lpad('x', 3, 'ab')
string_to_array('', ',')
string_to_array('abc', '')
string_to_array('abc', NULL)
to_hex(-1)
to_hex(-1::bigint)
regexp_split_to_array(E'a\u00a0b c', '\s')
generate_series(3, 1, -1)
row(1, 2) = row(1, 2)
sum(a) FROM (VALUES (2.5::real), (-0.1::real)) AS q(a)
'{"a":{"1":5}}'::jsonb #> '{a,1}', '{"a":[7,8]}'::jsonb #> '{a,1}', '{"a":[7,8]}'::jsonb #>> '{a,-1}', '{"a":1}'::jsonb #> '{}'
'{"$x":{"*":3}}'::jsonb #> '{$x,*}', '{"a":{"01":5}}'::jsonb #> '{a,01}', '{"a":[1,2]}'::jsonb #>> '{a}', '{"a":1}'::jsonb #> '{NULL}'
'{"x/y":{"~":[5]}}'::jsonb #>> '{x/y,~,0}', '{"a":{"b":1}}'::jsonb #> ARRAY['a','b'], '{"a":[[1,2],[3]]}'::jsonb #> '{a,-2,-1}'
k, j->k, j->>k FROM (SELECT '{"a.b":1,"$x":2,"/y":3,"":5,"q\"r":6,"*":7,"$":10}'::jsonb) AS t(j), (SELECT unnest(ARRAY['a.b','$x','/y','','q"r','*','$','zz'])) AS q(k)
jsonb_extract_path('{"a":{"b":[1,2]}}','a','b','1'), json_extract_path_text('{"a":{"b":null}}','a','b')
date_trunc('century', timestamp '2024-02-29'), date_trunc('century', timestamp '2000-12-29'), date_trunc('millennium', timestamp '2001-02-01')
to_timestamp('2024-02-29 10:11:12','YYYY-MM-DD HH24:MI:SS')
to_jsonb(timestamp '2024-01-01 10:00:00.5'), to_jsonb(timestamptz '2024-01-01 10:00:00+02'), jsonb_agg(timestamp '2024-01-01')
round((2.5::float8)::numeric(1000,15)), (1.25)::numeric(1000,1), round(1.005::numeric(50,3),2)
(interval '14 months 3 days')::text, (interval '-13 months')::text, (interval '-1 day 2 hours')::text, (interval '0')::text, (NULL::interval)::text
'x' || (interval '1 month' * -1 + interval '2 days' - interval '3 hours 1.5 seconds'), concat(interval '1 year', interval '100 hours')
age(date '2001-01-01', date '1999-03-15')::text, age(timestamp '2001-01-01', timestamp '1999-03-15') || '', (interval '1 year 1 mon')::varchar(8), (12345.5::float8)::varchar(3)
'2024-01-01T10:11:12.123456+00:00'::date, '2024/01/02'::date, ' 2024-1-2 '::date, '2024-01-01 10:00 PM'::date, '2024-01-01 23:00+05:30'::date, '2024-01-01 23:00 Europe/Berlin'::date, 'epoch'::date
date '2024-01-02' IN ('2024-01-01', '2024-01-02'), date '2024-01-02' BETWEEN '2024-01-01' AND '2024-01-03', '2024-01-02' <= date '2024-01-02', date_trunc('month', '2024-03-04'::date)
extract(year FROM date '0001-01-01' - 400)
'10:11:12.56789'::time(2)
('23:59:59.96'::time(1))::text
'2024-01-02 10:11:12.1299999'::timestamp(3)
date_trunc('day', '2024-01-01 05:00 -07'::timestamptz)
extract(epoch FROM timestamptz '2024-07-01')
date '2024-03-01' - '2024-02-01'
nullif(date '2024-01-05', 'Jan 5 2024')
CASE WHEN 1 > 2 THEN date '2024-01-01' ELSE 'Feb 3 2024' END
CASE WHEN 1 < 2 THEN '1.005' ELSE 2::numeric END
jsonb_build_object('a', 0.1::real)
regexp_replace(' a ', '^\s+|\s+$', '', 'g'), regexp_replace('v1.25 x', '\d+(\.\d+)?', 'N')
regexp_replace('a,foo', E'(^|,)foo', 'X'), regexp_replace('aé b', E'\\w', '-', 'g'), 'é' ~ E'^\\w$'
regexp_replace('abc', 'b'::text, 'X'), regexp_replace('abc', NULL, 'X'), regexp_replace('abc', '', 'X', 'g')
regexp_replace('catalog cat', 'catalog|cat', 'X', 'g'), regexp_replace('<b>x</b>', '<.+?>', '', 'g')
regexp_split_to_array('a, b;c', '\s*[,;]\s*'), regexp_split_to_array('a and b or c', ' and | or ')
to_char(125, '999'), to_char(125.8::real, '999D9'), to_char(-125.8, '999D99S'), to_char(0.1, '0.9'), to_char(12, '0000')
to_char(1234567.891, '9,999,999.99'), to_char(1234.5, 'FM999,990.00'), to_char(485, 'RN'), to_char(482, '999th')
to_char('NaN'::float8, '999.9'), to_char('-Infinity'::float8, '999999999.9'), to_char(NULL::int, '9'), to_char(1, NULL)
to_char(timestamp '2002-04-20 17:31:12.66', 'Day, DD  HH12:MI:SS'), to_char(timestamp '2002-04-20 17:31:12.66', 'FMDay, FMDD  HH12:MI:SS')
to_char(date '2002-04-20', 'D'), to_char(date '2002-04-20', 'Mon YYYY TZ'), to_char(date '2002-04-20', 'IYYY-IW'), to_char(date '2024-01-01', '')
to_char(timestamptz '2002-04-20 17:31:12.66+02', 'YYYY-MM-DD"T"HH24:MI:SS.MSOF'), to_char(time '10:11:12.5', 'HH24:MI')
to_char(interval '15h 2m 12s', 'HH24:MI:SS'), to_char(interval '-1 hour', 'HH24:MI'), to_char('infinity'::timestamp, 'YYYY')
to_date('05 Dec 2000', 'DD Mon YYYY'), to_date('20240229', 'YYYYMMDD') + 1, to_date('2024 05', 'YYYY MM')
to_timestamp('2024-02-29 01:11:12.5 PM', 'YYYY-MM-DD HH12:MI:SS.MS AM'), to_timestamp('05 Dec 2000', 'DD Mon YYYY')
format('%I.%L', 'col x', 'va''l'), format('|%10s|%-4s|', 'foo', 'x'), format('%1$s %2$s %1$s', 'a', 'b'), format('%s %%', NULL), format('%L', NULL), format('')
quote_ident('Foo bar'), quote_ident('user'), quote_ident('a_1'), quote_nullable(NULL), quote_nullable(42), num_nulls(1, NULL, 2), num_nonnulls(1, NULL, 2)
string_to_array('xx~~yy~~zz', '~~', 'yy'), array_dims(ARRAY[1, 2]), array_dims('{}'::int[]), array_ndims(ARRAY['a'])
string_to_table('xx~^~yy~^~zz', '~^~', 'yy')
* FROM string_to_table('a,b,', ',') AS p
x, n FROM string_to_table('a,b,', ',') WITH ORDINALITY AS t(x, n)
generate_subscripts('{NULL,1,NULL,2}'::int[], 1)
justify_days(interval '35 days')::text, justify_hours(interval '27 hours -3 days')::text, justify_interval(interval '1 mon -1 hour')::text, justify_interval(interval '-1 mon 40 days 30 hours')::text, justify_days('65 days')::text
make_interval(days => 10)::text, make_interval(0, 1, 2, 3, 4, 5, 6.5)::text, make_interval(hours => 2, mins => -30)::text, make_interval()::text
date_bin('15 minutes', timestamp '2001-02-16 20:38:40', timestamp '2001-02-16 20:05:00'), date_bin('1 day', timestamptz '2001-02-16 20:38:40+00', '2003-01-01')
make_timestamptz(2013, 7, 15, 8, 15, 23.5, 'America/New_York'), make_timestamptz(2013, 7, 15, 8, 15, 23.5)
(date '2001-02-16', date '2001-12-21') OVERLAPS (date '2001-10-30', date '2002-10-30'), (date '2001-02-16', interval '100 days') OVERLAPS (date '2001-10-30', date '2002-10-30')
(date '2024-01-01', date '2024-01-05') OVERLAPS (date '2024-01-05', date '2024-01-06'), (date '2024-01-05', date '2024-01-01') OVERLAPS (date '2024-01-03', NULL::date), (date '2024-01-01', date '2024-01-01') OVERLAPS (date '2024-01-01', date '2024-01-01')
date_trunc('day', timestamptz '2001-02-16 20:38:40+00', 'Australia/Sydney'), date_trunc('hour', timestamptz '2024-10-27 01:20:00+00', 'Europe/Berlin'), date_trunc('hour', timestamptz '2024-10-27 00:20:00+00', 'Europe/Berlin')
generate_series(date '2024-01-01', date '2024-01-03', interval '1 day')
* FROM generate_series('2008-03-01 00:00'::timestamp, '2008-03-02 12:00', '10 hours')
to_char(d, 'Dy DD'), d::date FROM generate_series(date '2024-01-01', '2024-01-03', '1 day') AS d
jsonb_array_elements('[1, [2], {"a": null}]'::jsonb)
jsonb_array_elements_text('["a", null, 1.50, [1,2]]')
* FROM jsonb_array_elements('[1,true, [2,false]]')
e.value->>'n', e->'n' FROM jsonb_array_elements('[{"n":1},{"n":2}]') AS e WHERE e @> '{"n":2}'
e, n FROM jsonb_array_elements_text('["x","y"]') WITH ORDINALITY AS t(e, n)
jsonb_object_keys('{"f1":"abc","f2":{"f3":"a"},"a":1}')
* FROM jsonb_object_keys('{"f1":"abc","f2":{"f3":"a"}}') AS k
* FROM jsonb_each('{"a":null,"b":{"x":[1]}}'), jsonb_each_text('{"a":null,"b":"x"}') AS y
k, v FROM jsonb_each_text('{"a":1.50,"b":[1]}') AS t(k, v) ORDER BY k DESC
count(*), sum(value::int) FROM jsonb_each_text('{"a":1,"b":2}')
jsonb_insert('[1,2]', '{1}', '9', true), jsonb_insert('[1,2]', '{-1}', '9'), jsonb_insert('[1,2]', '{-1}', '9', true), jsonb_insert('{"a":1}', '{b}', '2'), jsonb_insert('[1]', '{-9}', '0'), jsonb_insert('[1]', '{9}', '0')
jsonb_strip_nulls('[{"f1":1, "f2":null}, 2, null, {"a":{"b":null}}]'), jsonb_pretty('{"b":[1,{}],"a":{"c":"é"}}'), jsonb_pretty('[]')
regexp_match('foobarbequebaz', '(bar)(beque)'), regexp_match('abc123', '\d+'), (regexp_match('abc123', '\d+'))[1], regexp_match('abc', 'x')
regexp_match('key=val', '^(\w+)=(\w+)$'), regexp_match('key=', '^(\w+)=(\w+)?$'), regexp_match('ABC', 'b', 'i')
regexp_matches('foobarbequebazilbarfbonk', '(b[^b]+)(b[^b]+)', 'g')
regexp_matches('foobar', 'o'), regexp_matches('foobar', 'z')
* FROM regexp_matches('a1b22c333', '([a-z])(\d+)', 'g') AS m
m[1], m[2] FROM regexp_matches('a1b22c333', '([a-z])(\d+)', 'g') AS m
regexp_substr('foobar', 'o+'), regexp_count('banana', 'an'), regexp_count('BANANA', 'an', 1, 'i')
substring('Thomas' from '...$'), substring('foobar', 'o(.)b'), substring('foobar' from 'z'), substring('foobar' from '(z)?f')
regexp_match('a', '(a)|(b)'), regexp_match('b', '(a)|(b)')
regexp_match('ab', '(a)(b)*')
'abc' ~ '\mabc\M', 'a word here' ~ '\yword\y', 'a word here' ~ '\mwor', 'a word here' ~ 'wor\M', 'swords' ~ '\yword\y', 'éa' ~ '\ma', 'aé' ~ 'a\M', 'é' ~ '\yé\y', 'foo_bar' ~ '\mbar'
'Foo bar' ~* '\mfoo\M|\mbaz\M', 'x' ~ '\x78', 'ä' ~ '\u00e4', 'Д' ~ '\x414', '😀' ~ '\U0001F600', 'a' ~ '[\x61-\x63]', 'cat' ~ '\m[a-z]+t\M', E'a\nword' ~ '\mword\M'
'x1' ~ '\m\w\d\M', 'a b' ~ '\m(a|b)\M', 'ab' ~ '\m(a|b)\M'
jsonb_path_query_array('{"a":[1,2,3]}', '$.a[*] ? (@ > 1)')
jsonb_path_query_first('{"a":[1,2,3]}', '$.a[*] ? (@ > 1)')
jsonb_path_query_first('{"a":[1,2,3]}', '$.b')
jsonb_path_query('{"a":[1,2,3]}', '$.a[*]')
jsonb_path_exists('{"a":[1,2,3]}', '$.a[*] ? (@ > $x)', '{"x": 2}')
jsonb_path_exists('{"a":[1,2,3]}', 'strict $.b', '{}', true)
jsonb_path_exists('{"a":[1,2,3]}', 'strict $.b', silent => true)
jsonb_path_match('{"a":[1,2,3]}', 'exists($.a[*] ? (@ > 2))')
jsonb_path_match('{"a":[1,2,3]}', '$.a', silent => true)
'{"a":[1,2,3]}'::jsonb @? '$.a[*] ? (@ > 2)'
'{"a":[1,2,3]}'::jsonb @? '$.a[*] ? (@ > 3)'
'{"a":[1,2,3]}'::jsonb @@ '$.a[*] > 2'
'{"a":[1,2,3]}' @? '$.a[*] ? (@ > 2)'
jsonb '{"a":1}' @@ '$.a == 1'
jsonb_path_query_array('{"a":1}', '$.a'::jsonpath)
jsonb_path_query_array('{"a":1}', NULL)
'{"a":1}' IS JSON
'{"a":1}' IS JSON OBJECT
'[1]' IS JSON ARRAY
'1' IS JSON SCALAR
'x' IS NOT JSON
'{"a":1,"a":2}' IS JSON WITH UNIQUE KEYS
'{"a":1,"a":2}' IS JSON OBJECT WITHOUT UNIQUE KEYS
jsonb_path_query_array('{"a":1}', '$.a'::jsonpath)
'{"a":1}' IS JSON VALUE
'{"a":[{"b":1,"b":2}]}' IS JSON WITH UNIQUE KEYS
'{"a":01}' IS JSON
'NaN' IS JSON
'[1' IS NOT JSON ARRAY
'"\ud800"' IS JSON
NULL::text IS JSON
jsonb_path_query_array('[1.50, "12", null]', '$[*] ? (@ != null).double() * 2')
jsonb_path_query_array('["abc", "aBc", "b"]', '$[*] ? (@ like_regex "^ab" flag "i")')
jsonb_path_query_array('["abc", "aBc", 1]', '$[*] ? (@ starts with "a")')
jsonb_path_query_first('{"a": {"b": [1, 2]}}', '$.**{last}')
encode('abc'::bytea, 'base64')
encode(convert_to(repeat('a', 56), 'UTF8'), 'base64')
encode(convert_to(repeat('a', 57), 'UTF8'), 'base64')
encode(convert_to(repeat('a', 58), 'UTF8'), 'base64')
encode(convert_to(repeat('ab', 114), 'UTF8'), 'base64')
encode('abc', 'base64')
encode('', 'base64')
encode(decode('deadbeef', 'hex'), 'escape')
encode('\x00ff415c7f80'::bytea, 'escape')
decode('YWJj', 'base64')
decode(E'YW\nJj Cg==', 'base64')
decode('a\000b', 'escape')
decode('a\\b\377é', 'escape')
encode(sha256('abc'), 'hex')
encode(sha256('\x1234'), 'hex')
encode(sha224('abc'), 'hex')
encode(sha384('abc'::bytea), 'hex')
encode(sha512('abc'), 'hex')
sha512('')
convert_from('\x616263'::bytea, 'UTF8')
convert_to('é', 'UTF8')
isfinite(interval '4 hours')
isfinite(NULL::interval)
isfinite(date 'infinity')
width_bucket(5, array[1,3,7])
width_bucket(0, array[1,3,7])
width_bucket(7, array[1,3,7])
width_bucket(3.5, array[1,3,7])
width_bucket(NULL::int, array[1,3,7])
width_bucket('b'::text, array['a','c'])
width_bucket(date '2020-01-02', array[date '2020-01-01', date '2020-02-01'])
width_bucket(5.35, 0.024, 10.06, 5)
concat(ARRAY[1,2], 'x', true, 1.50)
concat('\x12'::bytea, 'x')
concat(timestamptz '2020-01-01 00:00+00', date '2020-01-01', time '03:04', interval '1 day')
concat_ws(',', ARRAY['a b', NULL], NULL, '{"b":1,"a":2}'::jsonb)
timestamptz '2020-01-01 00:00+00' || 'x'
'x' || '{"b": 1}'::text
array_to_string(ARRAY['{"b":1,"a":2}'::jsonb], ',')
to_json(ARRAY['a','b']), to_jsonb(1.50)
'{"a": 1}'::jsonb::text LIKE '%: 1%'
lower('{"A": 1,"B":2}'::jsonb::text)
length('{"A": 1,"B":2}'::jsonb::text)
quote_literal('{"b":1,"a":2}'::jsonb)
quote_nullable(ARRAY[1,2])
jsonb_build_object('k', ARRAY[1,2], 'j', '{"b":1,"a":2}'::jsonb)
jsonb_build_array(DATE '2020-01-01', interval '1 day', 1.50, NULL)
array_to_string(ARRAY[true,false], ',')
array_to_string(ARRAY[1.5::float8, 2], ',')
array_to_string(ARRAY[interval '1 day'], ',')
array_to_string(ARRAY['\x12'::bytea], ',')
array_to_string(ARRAY['a',NULL,'b'], ',')
array_to_string(ARRAY['a',NULL,'b'], ',', '*')
array_to_string(ARRAY[1.5,NULL]::float8[], ',', '*')
array_to_string('{a,b}'::text[], ',')
array_to_string(NULL::int[], ',')
array_to_string(ARRAY[]::int[], ',')
array_to_string(string_to_array('a b c', ' '), '+')
array_to_string(ARRAY[1e20::float8, 'NaN'], ',')
quote_literal(true)
quote_literal(interval '1 day')
quote_literal(1.50)
quote_literal(ARRAY[1,2])
quote_literal(2::float8)
quote_literal('a''b'), quote_literal(E'a\\b'), quote_literal(NULL::text), quote_literal(42)
quote_literal('\x12'::bytea)
gcd(21, 14) / 2, lcm(3, 5) / 2, gcd(21, 14) % 4
timestamptz '2020-01-01 00:00+00' + time '03:00'
timestamp '2020-01-01 00:00' + time '03:00:00.25'
time '03:00' + timestamp '2020-01-01 00:00'
date '2020-01-01' + time '03:00'
time '03:00' + date '2020-01-01'
date '2020-01-01' - time '03:00'
timestamp '2020-01-01' - time '01:00'
timestamptz '2020-01-01 00:00+00' - time '01:00'
time '03:00' - time '01:30'
time '01:00' - time '03:30'
time '03:00' + interval '1 hour'
time '03:00' - interval '4 hours'
(time '03:00' - time '01:00')::text
(timestamp '2020-01-01' + time '01:00')::date
(timestamp '2020-01-01' + time '01:00')::text || 'x'
NULL::timestamp + time '01:00'
timestamp '2020-01-01' + NULL::time
extract(epoch from time '03:00' - time '01:00')
timestamp '2020-01-01 10:00' + time '01:00' > timestamp '2020-01-01 10:30'
regexp_instr('ABCDEF', 'c(.)(..)', 1, 1, 0, 'i'), regexp_instr('foobar', 'o'), regexp_instr('foobar', 'x')
regexp_instr('foo bar', '[aeiou]', 1, 2), regexp_instr('foobar', 'o+', 1, 1, 1), regexp_instr('abcabc', 'abc', 2)
regexp_instr('añbañb', 'b', 1, 2), regexp_instr(NULL, 'a'), regexp_instr('', 'a'), regexp_instr('abab', 'b', 3, 1, 1)
regexp_substr('ABCDEF', 'c(.)(..)', 1, 1, 'i', 2), regexp_substr('foo bar baz', 'b\w+', 1, 2)
regexp_substr('foo bar baz', 'b\w+', 6), regexp_substr('abc', '(b)', 1, 1, '', 3), regexp_substr('a1b', '(\d)|b', 1, 2, '', 1)
regexp_count('foo bar', 'o', 3), regexp_count('Foo', 'O', 1, 'i'), regexp_count('foo', '[^f]', 2)
normalize('é', NFD) = 'é', normalize('ﬁ', NFKC), length(normalize('é', NFD)), normalize('é') = 'é', normalize(NULL)
interval '30 min', interval '5 secs', interval '2 hrs', interval '1 mon', interval '2 yrs', interval '1 decade'
timestamp '2026-01-01' + interval '90 min', interval '1 day 2 hrs' * 2, 30 * interval '1 min', interval '3'
pg_typeof(1) || ' ' || pg_typeof(1.5) || ' ' || pg_typeof('a'::text) || ' ' || pg_typeof(now()) || ' ' || pg_typeof(ARRAY[1,2])
pg_typeof(NULL) || ' ' || pg_typeof(1::bigint) || ' ' || pg_typeof('x') || ' ' || pg_typeof(true) || ' ' || pg_typeof(gen_random_uuid())
pg_typeof('a'::varchar) || ' ' || pg_typeof('1 day'::interval) || ' ' || pg_typeof('{}'::jsonb) || ' ' || pg_typeof(upper('a'))
pg_typeof('2024-01-02'::date - '2024-01-01'::date) || ' ' || pg_typeof(1 + 1.5) || ' ' || pg_typeof(length('a'))
clock_timestamp() >= now() AND clock_timestamp() < now() + '1 hour'::interval
length(timeofday()) > 30 AND timeofday() LIKE '% UTC'
array_fill(7, ARRAY[3])
array_fill('x'::text, ARRAY[2])
array_fill(NULL::int, ARRAY[2])
array_fill(1, ARRAY[0])
date_add('2021-10-31 00:00:00+02'::timestamptz, '1 day'::interval, 'Europe/Warsaw')
date_add('2021-10-31 00:00:00+02'::timestamptz, '1 day')
date_add('2021-03-28 00:30:00+01'::timestamptz, '1 mon 1 day 2 hours'::interval, 'Europe/Berlin')
date_subtract('2021-11-01 00:00:00+01'::timestamptz, '1 day'::interval, 'Europe/Warsaw')
date_subtract('2021-11-01 00:00:00+01'::timestamptz, '1 month 1 day 01:30'::interval)
(SELECT 1.5), (SELECT 1.0 / 3), (SELECT x FROM (SELECT 2.0 / 3 AS x) AS y), (SELECT 2.0 / 3) / 2
CASE 3.1::real WHEN 3.1 THEN 'a' WHEN '3.1' THEN 'b' END, nullif(3.1::real, 3.1) = 3.1::real, nullif(0.5::real, 0.5)
3.1::real IN (SELECT 3.1), 3.1::real = ANY (SELECT 3.1), 0.5::real IN (VALUES (0.5), (3.1)), 3.1::real IN (3.1, 0.5)
