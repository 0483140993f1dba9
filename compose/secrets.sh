#!/bin/sh
# Makes the secrets of the compose file that are not there yet: each random, in a folder that is the volume of one process, and
# readable by that process alone. What is there stays.
#   secrets.sh             makes them
#   secrets.sh NAME        prints one, such as users/first-manager-password
set -eu
home=${SECRETS:-/secrets}
if [ $# -gt 0 ]; then
  cat "$home/$1"
  echo
  exit
fi

# Users of the images: PostgreSQL's may be another one's, whose number it knows itself.
postgres=$(id -u postgres)
store=65532
grafana=472

# put FILE USER VALUE: whole or not at all, and closed to other users at any moment.
put() {
  rm -f "$home/$1.new"
  (umask 077 && printf '%s' "$3" >"$home/$1.new")
  chmod 0400 "$home/$1.new"
  chown "$2" "$home/$1.new"
  mv "$home/$1.new" "$home/$1"
}

# secret FILE USER
secret() { [ -s "$home/$1" ] || put "$1" "$2" "$(od -An -v -N24 -tx1 /dev/urandom | tr -d ' \n')"; }

# role NAME DATABASE FILE: a role of the database. PostgreSQL is told its password, and a process has it in an address.
role() {
  secret "postgres/$1" "$postgres"
  put "$3" "$store" "postgres://$1:$(cat "$home/postgres/$1")@postgres/$2"
}

secret postgres/superuser-password "$postgres"
for service in users billing orders warehouse delivery notifications; do
  # Its owner migrates, and no process but the service has that address.
  role "$service" "$service" "$service/migration-database-url"
  role "${service}_service" "$service" "$service/database-url"
  role "${service}_relay" "$service" "$service-relay/database-url"
  secret "postgres/${service}_reader" "$postgres"
  secret "$service/idempotency-secret" "$store"
done
secret users/token-key-secret "$store"
secret users/first-manager-password "$store"
secret grafana/admin-password "$grafana"

echo "The first manager is manager@tovar.example. Passwords, theirs and that of Grafana's admin:"
echo "  docker compose run --rm secrets users/first-manager-password"
echo "  docker compose run --rm secrets grafana/admin-password"
