# Runs inside the system that tools/test-package starts: the package as its user meets it. One line a check on standard
# output, the reasons on standard error.
passed=0
failed=0

# check WHAT COMMAND...
check() {
  local what=$1 output
  shift
  if output=$("$@" 2>&1); then
    echo "ok: $what"
    passed=$((passed + 1))
  else
    echo "FAILED: $what"
    printf '%s: %s\n%s\n' "$what" "$*" "$output" >&2
    failed=$((failed + 1))
  fi
}

# eventually COMMAND...: within ten seconds.
eventually() {
  local tries
  for tries in $(seq 100); do
    "$@" && return
    sleep 0.1
  done
  return 1
}

is() { [ "$1" = "$2" ] || { echo "'$1' is not '$2'"; return 1; }; }
state() { systemctl show -P "$1" oncegate; }
mode() { stat -c '%U:%G %a' "$1"; }
outcome() { curl -sSk -o /dev/null -D - "$@" | tr -d '\r' | sed -n 's/^oncegate-outcome: //Ip'; }
config=/etc/oncegate/oncegate.toml

cat >/etc/nginx/conf.d/application.conf <<'NGINX'
server { listen 127.0.0.1:3000; location / { return 200 "order"; } }
NGINX
mkdir -p /etc/ssl/private
openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=hooks.example.com -addext subjectAltName=DNS:hooks.example.com \
  -keyout /etc/ssl/private/hooks.example.com.key -out /etc/ssl/certs/hooks.example.com.pem 2>/dev/null
cp /opt/nginx.conf /etc/nginx/conf.d/oncegate.conf
check "nginx takes data/nginx.conf" nginx -t
systemctl start nginx

# Three commands: install, say where the application is, restart.
check "the package installs" env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends /opt/oncegate.deb
check "the service runs" is "$(systemctl is-active oncegate)" active
check "and will run after a boot" is "$(systemctl is-enabled oncegate)" enabled
check "the store is private" is "$(mode /var/lib/oncegate)" "oncegate:oncegate 700"
check "backups are private" is "$(mode /var/backups/oncegate)" "oncegate:oncegate 700"
check "the configuration is for root and the service" is "$(mode /etc/oncegate)" "root:oncegate 750"
check "the unit is in order" systemd-analyze verify --man=no oncegate.service
score=$(systemd-analyze security --no-pager oncegate.service | sed -n 's/.*exposure level.*: \([0-9.]*\) .*/\1/p')
check "exposure $score of 10 is below 2" test "${score%.*}" -lt 2

printf 'upstream = "http://127.0.0.1:3000"\ntrusted-proxy = ["127.0.0.1/32"]\n' >>"$config"
check "restart returns when requests are answered" systemctl restart oncegate
post() { outcome "$@" -d '{"order":1}' http://127.0.0.1:8080/webhook; }
check "a first delivery is executed" is "$(post -H 'Idempotency-Key: evt_1')" executed
check "a retry is replayed" is "$(post -H 'Idempotency-Key: evt_1')" replayed
via_nginx() { outcome --resolve hooks.example.com:443:127.0.0.1 "$@" -d '{"order":2}' https://hooks.example.com/webhook; }
check "through nginx, too: first" is "$(via_nginx -H 'Idempotency-Key: evt_2')" executed
check "through nginx, too: retry" is "$(via_nginx -H 'Idempotency-Key: evt_2')" replayed
check "the client behind nginx is known" bash -c 'oncegate get evt_2 | grep -q "source_ip *127.0.0.1"'

check "reload of a good configuration" systemctl reload oncegate
cp "$config" /opt/good.toml
echo 'ttl = "soon"' >>"$config"
systemctl reload oncegate
check "a bad one is shown in the status" eventually bash -c 'systemctl status oncegate | grep -q "Status:.*old one stays in force"'
check "and the old one stays in force" is "$(post -H 'Idempotency-Key: evt_1')" replayed
check "an upgrade with it" env DEBIAN_FRONTEND=noninteractive dpkg -i /opt/oncegate.deb
check "leaves the running server alone" is "$(post -H 'Idempotency-Key: evt_1')" replayed
systemctl restart oncegate 2>/dev/null
check "a start with it fails" is "$(systemctl is-active oncegate)" failed
check "with exit code 2" is "$(state ExecMainStatus)" 2
check "and is not tried again and again" is "$(state NRestarts)" 0
cp /opt/good.toml "$config"
check "mended, it starts" systemctl restart oncegate

pid=$(state MainPID)
kill -9 "$pid"
restarted() { [ "$(state MainPID)" != "$pid" ] && [ "$(systemctl is-active oncegate)" = active ]; }
check "killed, it comes back by itself" eventually restarted
check "and remembers" is "$(post -H 'Idempotency-Key: evt_1')" replayed
check "it may have as many files as it wants" bash -c '! journalctl -u oncegate | grep "fewer file descriptors"'
check "nothing that it needs is forbidden" bash -c '! journalctl -u oncegate | grep -i "not permitted\|permission denied\|read-only file"'

check "backup through the sandbox" oncegate backup /var/backups/oncegate --keep 7
check "restore" oncegate restore /var/backups/oncegate --data-dir /tmp/drill
check "verify" oncegate verify --data-dir /tmp/drill
check "verify of the running store" oncegate verify

mkdir -p /etc/systemd/system/oncegate.service.d
cp /usr/share/doc/oncegate/examples/port-443.conf /etc/systemd/system/oncegate.service.d/
systemctl stop nginx
cp /etc/ssl/certs/hooks.example.com.pem /etc/ssl/private/hooks.example.com.key /etc/oncegate/
chown root:oncegate /etc/oncegate/hooks.example.com.key
chmod 640 /etc/oncegate/hooks.example.com.key
printf 'listen = ["0.0.0.0:443"]\ntls-cert = "/etc/oncegate/hooks.example.com.pem"\ntls-key = "/etc/oncegate/hooks.example.com.key"\n' >>"$config"
systemctl daemon-reload
check "with the drop-in it listens on 443" systemctl restart oncegate
check "and answers there" is "$(via_nginx -H 'Idempotency-Key: evt_2')" replayed

check "stop" systemctl stop oncegate
check "was an orderly end" is "$(state Result)/$(state ExecMainStatus)" success/0
systemctl start oncegate
check "the package goes" env DEBIAN_FRONTEND=noninteractive apt-get remove -y oncegate
check "and the process with it" bash -c '! grep -x oncegate /proc/[0-9]*/comm'
check "the store stays" test -e /var/lib/oncegate/CURRENT
check "until purge" env DEBIAN_FRONTEND=noninteractive apt-get purge -y oncegate
check "which removes it" test ! -e /var/lib/oncegate
check "and keeps backups" test -e /var/backups/oncegate
journalctl -u oncegate --no-pager >&2
echo "$passed passed, $failed failed"
