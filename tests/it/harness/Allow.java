import java.io.FileReader;
import java.util.ArrayList;
import java.util.Properties;
import java.util.Scanner;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.common.acl.AccessControlEntry;
import org.apache.kafka.common.acl.AclBinding;
import org.apache.kafka.common.acl.AclOperation;
import org.apache.kafka.common.acl.AclPermissionType;
import org.apache.kafka.common.resource.PatternType;
import org.apache.kafka.common.resource.ResourcePattern;
import org.apache.kafka.common.resource.ResourceType;

/** Allows what standard input says: in each line a user, an operation, the kind of what it is on, and its name. */
public class Allow {
  public static void main(String[] arguments) throws Exception {
    Properties properties = new Properties();
    try (FileReader file = new FileReader(arguments[0])) {
      properties.load(file);
    }
    ArrayList<AclBinding> allowed = new ArrayList<>();
    Scanner words = new Scanner(System.in);
    while (words.hasNext()) {
      String user = "User:" + words.next();
      AclOperation operation = AclOperation.fromString(words.next());
      ResourceType kind = ResourceType.fromString(words.next());
      ResourcePattern pattern = new ResourcePattern(kind, words.next(), PatternType.LITERAL);
      allowed.add(new AclBinding(pattern, new AccessControlEntry(user, "*", operation, AclPermissionType.ALLOW)));
    }
    try (Admin admin = Admin.create(properties)) {
      admin.createAcls(allowed).all().get();
    }
  }
}
