#!/bin/sh
# Makes what compose.yaml must not have a default for: passwords, keys, and certificates of an
# authority of their own. Everything is random and new, goes into deploy/secrets (mode 0700, in
# .gitignore) and deploy/.env, and is made once: delete the folder to begin again.
#
# Keep a copy of secrets/master.key elsewhere. Without it the endpoints' secrets in the database
# are lost.
set -eu
umask 077
cd "$(dirname "$0")"
if [ -e secrets ]; then
  echo "deploy/secrets is there already; nothing was changed" >&2
  exit 1
fi
command -v openssl >/dev/null || { echo "openssl is not found: install it first" >&2; exit 1; }

# Whoever owns the files is who the processes run as, because the master key must be readable by its
# owner only. Root gives them to a user that is nobody's.
user=$(id -u):$(id -g)
if [ "$(id -u)" -eq 0 ]; then user=65532:65532; fi

# Finished or not there at all.
new=$(mktemp -d ./secrets.XXXXXX)
trap 'rm -rf "$new"' EXIT

openssl rand -hex 32 > "$new/master.key"
echo "KEEPTRUSTS_WEBHOOKS_BOOTSTRAP_ADMIN_KEY=kt_$(openssl rand -hex 32)" > "$new/first-key.env"
password=$(openssl rand -hex 32)
printf '%s' "$password" > "$new/postgres-password"
echo "postgres:5432:webhooks:webhooks:$password" > "$new/pgpass"
openssl rand -hex 16 | tr -d '\n' > "$new/grafana-password"

openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 825 \
  -subj "/CN=Keeptrusts Webhooks on $(hostname)" -addext "basicConstraints=critical,CA:TRUE" \
  -addext "keyUsage=critical,keyCertSign" \
  -keyout "$new/ca.key" -out "$new/ca.pem" 2>/dev/null
certificate() { # NAME, ALTERNATIVE NAMES
  openssl req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj "/CN=$1" \
    -keyout "$new/$1.key" -out "$new/$1.csr" 2>/dev/null
  printf 'subjectAltName=%s\nextendedKeyUsage=serverAuth\n' "$2" > "$new/$1.ext"
  openssl x509 -req -in "$new/$1.csr" -CA "$new/ca.pem" -CAkey "$new/ca.key" -CAcreateserial \
    -days 825 -extfile "$new/$1.ext" -out "$new/$1.pem" 2>/dev/null
  rm "$new/$1.csr" "$new/$1.ext"
}
certificate services "DNS:endpoint,DNS:ingest,DNS:dispatch,DNS:access,DNS:notification"
certificate localhost "DNS:localhost,IP:127.0.0.1,IP:::1"
# Nothing else is ever signed with it.
rm -f "$new/ca.key" "$new"/*.srl

# Postgres and Grafana run as users of their images. The folder keeps everybody else out.
chmod 0444 "$new/postgres-password" "$new/grafana-password" "$new/ca.pem"
if [ "$(id -u)" -eq 0 ]; then
  chown "$user" "$new/master.key" "$new/pgpass" "$new"/*.pem "$new/services.key" "$new/localhost.key"
fi
mv "$new" secrets
trap - EXIT
echo "KEEPTRUSTS_USER=$user" > .env
echo "made deploy/secrets and deploy/.env; keep a copy of deploy/secrets/master.key elsewhere"
